"""The server under contract: the embedded one, or with `--panda-url` any other."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from services.base import Engine
from services.panda.settings import PRODUCTION
from services.panda.tokens import pilot_token, user_token
from tests.panda.contract.client import ClientProcess
from tests.panda.world import Api, adler32, client_of_rucio

QUEUE = "E1_BNL"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options that point the suite at another server."""
    group = parser.getgroup("panda")
    group.addoption(
        "--panda-url", help="a PanDA server, such as https://panda.example.org:25443/server/panda"
    )
    group.addoption("--panda-token-file", help="file with the token of a user of EIC")
    group.addoption("--panda-pilot-token-file", help="file with a token that has the production role")


@dataclass(frozen=True)
class Server:
    """A PanDA server and two identities.

    Attributes:
        base: URL without a path.
        environment: for its client, as the user.
        user: the interface as the user, `pilot` with the production role, `nobody` without a token.
        name: of the user, as tasks carry it.
        embedded: whether it is ours, which has no jobs but the tests' and is known in every detail.
        register: makes a job's outputs known to the server's catalogue, as a pilot would.
    """

    base: str
    environment: dict[str, str]
    user: Api
    pilot: Api
    nobody: Api
    name: str
    embedded: bool
    register: Callable[[dict[str, Any]], dict[str, dict[str, Any]]]


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> Server:
    """The server that the suite is run against."""
    url = request.config.getoption("--panda-url", default=None)
    if url is None:
        return _embedded(request.getfixturevalue("panda"), request.getfixturevalue("rucio"))
    files = [request.config.getoption(name) for name in ("--panda-token-file", "--panda-pilot-token-file")]
    if not all(files):
        pytest.exit("--panda-url needs --panda-token-file and --panda-pilot-token-file", returncode=4)
    environment = {
        **dict.fromkeys(("PANDA_URL", "PANDA_URL_SSL", "PANDACACHE_URL"), url),
        "PANDA_AUTH": "oidc",
        "PANDA_AUTH_VO": "EIC",
        "OIDC_AUTH_TOKEN_FILE": files[0],
        "PANDA_BEHIND_REAL_LB": "1",
    }
    return _server(url, environment, files[0], files[1], embedded=False, register=_reported)


@pytest.fixture(scope="session")
def client(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClientProcess]:
    """PanDA's real client in a process of its own, which has the server in its environment."""
    folder = tmp_path_factory.mktemp("client")
    process = ClientProcess({**server.environment, "PANDA_CONFIG_ROOT": str(folder)}, folder)
    yield process
    process.close()


def _embedded(panda: Engine, rucio: Engine) -> Server:
    catalogue = client_of_rucio(rucio)

    def register(job: dict[str, Any]) -> dict[str, dict[str, Any]]:
        report = _reported(job)
        files = [
            {
                "scope": job["scopeOut"].split(",")[0],
                "name": name,
                "bytes": said["fsize"],
                "adler32": said["adler32"],
            }
            for name, said in report.items()
        ]
        scope = job["scopeOut"].split(",")[0]
        if scope not in catalogue.list_scopes():
            catalogue.add_scope(rucio.environment()["RUCIO_ACCOUNT"], scope)
        catalogue.add_replicas(QUEUE, files)
        return report

    environment = panda.environment()
    tokens = str(user_token(panda.directory)), str(pilot_token(panda.directory))
    return _server(environment["PANDA_URL"], environment, *tokens, embedded=True, register=register)


def _reported(job: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """A pilot's report on outputs that are all the same two bytes."""
    names = [name for name in job["outFiles"].split(",") if name != job["logFile"]]
    return {name: {"fsize": 2, "adler32": adler32(b"{}"), "guid": ""} for name in names}


def _server(
    url: str,
    environment: dict[str, str],
    user_file: str,
    pilot_file: str,
    *,
    embedded: bool,
    register: Callable[[dict[str, Any]], dict[str, dict[str, Any]]],
) -> Server:
    base = url.partition("/server/")[0].rstrip("/")
    user, pilot = (Path(one).read_text().strip() for one in (user_file, pilot_file))
    part = user.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return Server(
        base=base,
        environment=environment,
        user=Api(base, user),
        pilot=Api(base, pilot, PRODUCTION),
        nobody=Api(base, None),
        name=" ".join(word.capitalize() for word in claims["name"].split()),
        embedded=embedded,
        register=register,
    )
