"""A small OpenID Connect provider that logs in whom it is told to, without a word; and lies when it is told to."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

CLIENT, SECRET = "swf-testbed", "for-the-provider-only"


class Issuer:
    """The provider: `claims` of whom it logs in; `lies` replace claims of its ID tokens, or its `issuer`."""

    def __init__(self) -> None:
        self.claims: dict[str, Any] = {"sub": "1001", "preferred_username": "ann", "groups": []}
        self.lies: dict[str, Any] = {}
        self.key = RSAKey.generate_key(2048, {"kid": "1", "alg": "RS256", "use": "sig"})
        self.signs_with = self.key
        self.asked: list[str] = []
        self._codes: dict[str, dict[str, str]] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"issuer": self}))
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        ).start()

    def stop(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()

    def document(self) -> dict[str, Any]:
        """What clients are told of it."""
        return {
            "issuer": self.lies.get("issuer", self.url),
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/keys",
            "id_token_signing_alg_values_supported": ["RS256"],
            "code_challenge_methods_supported": ["S256"],
        }

    def authorize(self, asked: dict[str, str]) -> str:
        """Where the user is sent back to, with a code for once."""
        assert (asked["client_id"], asked["response_type"]) == (CLIENT, "code")
        assert asked["code_challenge_method"] == "S256"
        assert "openid" in asked["scope"]
        code = secrets.token_urlsafe()
        self._codes[code] = asked
        return f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}"

    def token(self, said: dict[str, str], authorization: str) -> dict[str, Any] | None:
        """The tokens for a code; None when the client cannot show that it is the one that asked for it."""
        asked = self._codes.pop(said.get("code", ""), None)
        digest = hashlib.sha256(said.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        basic = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        known = authorization == f"Basic {basic}"
        if asked is None or challenge != asked["code_challenge"] or not known:
            return None
        now = int(time.time())
        claims = {"iss": self.url, "aud": CLIENT, "iat": now, "exp": now + 60, "nonce": asked["nonce"]}
        claims |= self.claims | self.lies
        return {
            "access_token": secrets.token_urlsafe(),
            "token_type": "Bearer",
            "id_token": jwt.encode({"alg": "RS256", "kid": "1"}, claims, self.signs_with),
        }


class _Handler(BaseHTTPRequestHandler):
    issuer: Issuer

    def do_GET(self) -> None:
        path = urlsplit(self.path)
        self.issuer.asked.append(path.path)
        if path.path == "/authorize":
            self.send_response(302)
            said = {name: values[0] for name, values in parse_qs(path.query).items()}
            self.send_header("Location", self.issuer.authorize(said))
            self.end_headers()
        elif path.path == "/keys":
            self._say(KeySet([self.issuer.key]).as_dict(private=False))
        else:
            self._say(self.issuer.document())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        said = {name: values[0] for name, values in parse_qs(body).items()}
        tokens = self.issuer.token(said, self.headers.get("Authorization", ""))
        self._say(tokens or {"error": "invalid_grant"}, 200 if tokens else 400)

    def _say(self, body: Any, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    """A provider at work."""
    provider = Issuer()
    yield provider
    provider.stop()
