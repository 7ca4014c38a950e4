"""The server's key pair, made once, and the tokens signed with it, made at every start."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from services.panda.settings import NICKNAME, PILOT_NAME, PRODUCTION, USER_NAME, VO
from services.remembered import write_private

ALGORITHM = "RS256"
KEY_BITS = 2048
LIFETIME_SECONDS = 365 * 24 * 3600
# The VO, as in a request's Origin, to the audience of its tokens.
AUDIENCES = {VO: "swf-testbed-user", PRODUCTION: "swf-testbed-pilot"}


class Authority:
    """Who signs the tokens of this installation and knows them again.

    Args:
        directory: of the engine; key and tokens lie beneath it, readable for their owner only.
        issuer: what the tokens name as their issuer.
    """

    def __init__(self, directory: Path, issuer: str) -> None:
        self.issuer = issuer
        self._key = _key(directory / "key.pem")
        self._public = self._key.public_key()
        described = RSAAlgorithm.to_jwk(self._public, as_dict=True)
        self._kid = hashlib.sha256(described["n"].encode()).hexdigest()[:16]
        self.keys = {"keys": [{**described, "kid": self._kid, "alg": ALGORITHM, "use": "sig"}]}

    def sign(self, vo: str, name: str, nickname: str, groups: list[str], seconds: int) -> str:
        """A token for `name`, for requests whose Origin is `vo`, valid for so many seconds from now."""
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": AUDIENCES[vo],
            "sub": nickname,
            "name": name,
            "preferred_username": nickname,
            "groups": groups,
            "iat": now,
            "exp": now + seconds,
        }
        return jwt.encode(claims, self._key, algorithm=ALGORITHM, headers={"kid": self._kid})

    def verify(self, token: str) -> dict[str, Any]:
        """The claims of a token of ours.

        Raises:
            jwt.InvalidTokenError: it is not ours, or not valid any more; the text says which.
        """
        header = jwt.get_unverified_header(token)
        if "kid" not in header:
            raise jwt.InvalidTokenError("cannot extract kid from headers")
        if header["kid"] != self._kid:
            raise jwt.InvalidTokenError("the token is signed with another key")
        claims: dict[str, Any] = jwt.decode(
            token,
            self._public,
            algorithms=[ALGORITHM],
            audience=list(AUDIENCES.values()),
            issuer=self.issuer,
        )
        return claims


def user_token(directory: Path) -> Path:
    """The file of the token with which tasks are submitted."""
    return directory / "tokens" / "user.jwt"


def pilot_token(directory: Path) -> Path:
    """The file of the pilots' token; it has the production role."""
    return directory / "tokens" / "pilot.jwt"


def write_tokens(directory: Path, authority: Authority) -> None:
    """Write both tokens anew, without a line end: clients put the whole file into a header."""
    user = authority.sign(VO, USER_NAME, NICKNAME, [VO], LIFETIME_SECONDS)
    pilot = authority.sign(PRODUCTION, PILOT_NAME, "pilot", [VO, f"{VO}/production"], LIFETIME_SECONDS)
    write_private(user_token(directory), user)
    write_private(pilot_token(directory), pilot)


def _key(path: Path) -> rsa.RSAPrivateKey:
    if not path.exists():
        made = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
        text = made.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode()
        write_private(path, text)
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError(f"{path} holds no RSA key; remove it to have one made, which makes all tokens void")
    return key
