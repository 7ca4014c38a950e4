"""The ASGI application: requests to methods and back, as PanDA's own server does it."""

from __future__ import annotations

import json
import logging
import zlib
from collections import defaultdict
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import psycopg
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from services.loop import Loop
from services.panda.server import files_api, jobs_api, pilot_api, system_api, tasks_api
from services.panda.server.auth import TokenRefused, authenticate
from services.panda.server.database import Database
from services.panda.server.envelope import DATABASE_ERROR, METHODS, Call, encode, failed
from services.panda.server.templates import SAFE_NAME
from services.panda.settings import PRODUCTION, VO, Settings
from services.panda.tokens import AUDIENCES, Authority

JSON = "application/json"
VERSIONS = ("v1", "latest")
MOST_BYTES = 64 * 1024 * 1024
VERBS = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]
_MODULES = (files_api, jobs_api, pilot_api, system_api, tasks_api)  # importing them fills METHODS

log = logging.getLogger(__name__)


class BadBody(Exception):
    """The body cannot be read; the text is PanDA's."""


class App:
    """The server's endpoints.

    Args:
        loops: woken by every request that may have made work.
    """

    def __init__(
        self, settings: Settings, database: Database, authority: Authority, loops: list[Loop]
    ) -> None:
        self._settings = settings
        self._database = database
        self._authority = authority
        self._loops = loops

    def asgi(self) -> Starlette:
        """The application, to be served."""
        return Starlette(
            routes=[
                Route("/testbed/status", self._status, methods=["GET"]),
                Route("/cache/{name}", self._cached, methods=["GET"]),
                Route("/auth/{name:path}", self._auth, methods=["GET"]),
                Route("/api/{version}/{module}/{method}", self._method, methods=VERBS),
                Route("/{path:path}", self._other, methods=VERBS),
            ]
        )

    async def _method(self, request: Request) -> Response:
        path = f"{request.path_params['module']}/{request.path_params['method']}"
        if request.path_params["version"] not in VERSIONS or path not in METHODS:
            return _forbidden(request.path_params["method"])
        try:
            caller = authenticate(request.headers, self._authority)
        except TokenRefused as error:
            return _plain(403, f"ERROR : Token authentication failed. {error}")
        try:
            arguments = await _arguments(request)
        except BadBody as error:
            return _plain(500, f"ERROR : {error}")
        except ClientDisconnect:
            return _plain(400, "ERROR : the client is gone")
        call = Call(caller, self._database, self._settings, request.method)
        as_json = JSON in (request.headers.get("content-type"), request.headers.get("accept"))
        response = await run_in_threadpool(self._answer, path, call, arguments, as_json=as_json)
        if request.method == "POST":
            for loop in self._loops:
                loop.wake()
        return response

    def _answer(self, path: str, call: Call, arguments: object, *, as_json: bool) -> Response:
        if not isinstance(arguments, dict):
            return _plain(
                200, encode(failed("Argument error: the body must be a JSON object"), as_json=as_json)
            )
        try:
            answer = METHODS[path](call, arguments)
        except psycopg.DataError as error:
            answer = failed(f"Argument error: {' '.join(str(error).split())}")
        except psycopg.OperationalError as error:
            log.warning("%s: %s", path, " ".join(str(error).split()))
            return _plain(500, DATABASE_ERROR)
        return _plain(200, encode(answer, as_json=as_json))

    def _status(self, _request: Request) -> Response:
        reasons = [reason for loop in self._loops if (reason := loop.reason())]
        return JSONResponse({"reason": reasons[0] if reasons else None})

    def _cached(self, request: Request) -> Response:
        name = request.path_params["name"]
        path = self._settings.cache / name
        if not SAFE_NAME.fullmatch(name) or name.startswith(".") or not path.is_file():
            return _plain(404, "not found")
        return FileResponse(path, media_type="application/octet-stream")

    def _auth(self, request: Request) -> Response:
        """What a client may know of the tokens: as whom they are issued, and how to check them."""
        base = self._settings.base
        documents: dict[str, dict[str, Any]] = {
            f"{vo}_auth_config.json": {
                "client_id": AUDIENCES[vo],
                "client_secret": "",
                "audience": AUDIENCES[vo],
                "oidc_config_url": f"{base}/auth/.well-known/openid-configuration",
                "vo": vo,
            }
            for vo in (VO, PRODUCTION)
        }
        documents[".well-known/openid-configuration"] = {
            "issuer": self._authority.issuer,
            "jwks_uri": f"{base}/auth/jwks.json",
        }
        documents["jwks.json"] = self._authority.keys
        document = documents.get(request.path_params["name"])
        return JSONResponse(document) if document else _plain(404, "not found")

    def _other(self, request: Request) -> Response:
        return _forbidden(Path(request.path_params["path"]).name)


async def _arguments(request: Request) -> object:
    """What the client gives, from the query or the body.

    Raises:
        BadBody: the body is no JSON although it says so, or no form.
    """
    if request.method in ("GET", "HEAD"):
        return _query(request.url.query)
    kind = request.headers.get("content-type", "")
    if kind == JSON:
        return _json(await _body(request), request.headers.get("content-encoding"))
    if not kind.startswith(("multipart/form-data", "application/x-www-form-urlencoded")):
        return {}
    try:
        form = await request.form(max_files=10, max_fields=200)
    except (HTTPException, ValueError, LookupError) as error:
        raise BadBody(f"received invalid form : {error}") from error
    return {
        _clean_text(name): value if isinstance(value, UploadFile) else _clean_text(value)
        for name, value in form.multi_items()
    }


async def _body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            raise BadBody(f"received more than {MOST_BYTES} bytes")
    return body


def _query(text: str) -> dict[str, Any]:
    found: dict[str, list[str]] = defaultdict(list)
    for name, value in parse_qsl(text, keep_blank_values=True, errors="replace"):
        found[_clean_text(name)].append(_clean_text(value))
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def _json(body: bytes, encoding: str | None) -> object:
    try:
        if encoding == "gzip":
            body = _unzipped(body)
        return _clean(json.loads(body, parse_constant=lambda _: None))
    except (ValueError, RecursionError, OSError, EOFError, zlib.error) as error:
        raise BadBody(f"received invalid JSON : {error}") from error


def _unzipped(body: bytes) -> bytes:
    unpacked = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16).decompress(body, MOST_BYTES + 1)
    if len(unpacked) > MOST_BYTES:
        raise BadBody(f"received more than {MOST_BYTES} bytes")
    return unpacked


def _clean(value: object) -> object:
    """Without what PostgreSQL cannot keep."""
    if isinstance(value, str):
        return _clean_text(value)
    if isinstance(value, list):
        return [_clean(one) for one in value]
    if isinstance(value, dict):
        return {_clean_text(name): _clean(one) for name, one in value.items()}
    return value


def _clean_text(text: str) -> str:
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def _forbidden(name: str) -> Response:
    return _plain(403, f"ERROR : method {name} is forbidden")


def _plain(status: int, content: str | bytes) -> Response:
    # PanDA says text/plain of JSON as well, and no character set.
    return Response(content, status, headers={"content-type": "text/plain"})
