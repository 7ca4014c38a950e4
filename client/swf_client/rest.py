"""REST with retries: short outages are waited for, and no POST has its effect twice."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode
from uuid import uuid4

from .errors import Away, Refused, SettingMissing
from .kept import Kept
from .web import base_of, pauses, refusal

TIMEOUT_SECONDS = 10.0
PATIENCE_SECONDS = 60.0


class Answer(NamedTuple):
    """What was answered; `body` is decoded JSON, None if there was no body."""

    status: int
    body: Any
    headers: Mapping[str, str]


class Rest:
    """The REST interface of a testbed, asked as whoever the token belongs to. It may be used by several threads, each of
    which keeps a connection open.

    What the testbed cannot answer now (no connection, 10 s of silence, 429, 502, 503, 504) is asked again, after the time
    that `Retry-After` says or 0.5 to 15 s, for `patience` seconds in all. Other errors are raised at once.
    """

    def __init__(self, url: str, token: str = "", *, patience: float = PATIENCE_SECONDS) -> None:
        """
        Raises:
            Refused: `url` is no address of a testbed.
        """
        self.url = base_of(url)
        self.token = token
        self._kept = Kept(f"{self.url}/api/")
        self._patience = patience

    @classmethod
    def from_environment(cls, variables: Mapping[str, str] = os.environ) -> Rest:
        """The testbed that `SWF_MONITOR_URL` names, with the token in `SWF_API_TOKEN`.

        Raises:
            SettingMissing: one of them is not set.
            Refused: the first is no address.
        """
        url, token = variables.get("SWF_MONITOR_URL", ""), variables.get("SWF_API_TOKEN", "")
        if not url:
            raise SettingMissing("SWF_MONITOR_URL is not set: the testbed's address, http://host:port")
        if not token:
            raise SettingMissing(
                "SWF_API_TOKEN is not set: `swf-testbed manage get_token USER`, typed where the testbed runs, prints one"
            )
        return cls(url, token)

    def get(self, path: str, **query: Any) -> Any:
        """What is at `path`, below `/api/`.

        Raises:
            Refused, Away: see `request`.
        """
        return self.request("GET", f"{path}?{urlencode(query)}" if query else path).body

    def post(self, path: str, body: Any = None, *, key: str = "", patience: float | None = None) -> Any:
        """What a POST is answered.

        Args:
            key: its idempotency key; one that outlives this process makes the POST one even if the process does not.

        Raises:
            Refused, Away: see `request`.
        """
        headers = {"Idempotency-Key": key or str(uuid4())}
        return self.request("POST", path, body, headers=headers, patience=patience).body

    def patch(self, path: str, body: Any) -> Any:
        """What a PATCH is answered.

        Raises:
            Refused, Away: see `request`.
        """
        return self.request("PATCH", path, body).body

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        patience: float | None = None,
    ) -> Answer:
        """One request, asked until it is answered.

        Args:
            path: below `/api/`, such as `runs/100010/`.
            body: sent as JSON, unless it is None.
            patience: seconds in all; the client's own without. 0: asked once, and waited for.

        Raises:
            Refused: asking again is of no use; it has the status and the reasons by field.
            Away: patience is over. A change may have been made or not: repeat it with the same idempotency key.
        """
        patience = self._patience if patience is None else patience
        deadline = time.monotonic() + patience
        for pause in pauses():
            left = max(deadline - time.monotonic(), 0.1) if patience else TIMEOUT_SECONDS
            try:
                return self._once(method, path, body, headers or {}, timeout=min(TIMEOUT_SECONDS, left))
            except Away as error:
                wait = max(pause, error.retry_after)
                if time.monotonic() + wait > deadline:
                    raise Away(
                        f"{method} {self.url}/api/{path}: {error}; given up after {patience:.0f} s",
                        retry_after=error.retry_after,
                    ) from error
            time.sleep(wait)
        raise AssertionError("pauses have no end")

    def _once(
        self, method: str, path: str, body: Any, headers: Mapping[str, str], *, timeout: float
    ) -> Answer:
        named = {"Accept": "application/json", **headers}
        if self.token:
            named["Authorization"] = f"Bearer {self.token}"
        data = None if body is None else json.dumps(body).encode()
        if data is not None:
            named["Content-Type"] = "application/json"
        status, reason, said, text = self._kept.ask(method, path, data, named, timeout=timeout)
        if status >= 300:
            raise refusal(status, reason, said, text)
        return Answer(status, _decoded(text, f"{self.url}/api/{path}"), dict(said.items()))


def _decoded(text: bytes, url: str) -> Any:
    try:
        return json.loads(text) if text else None
    except ValueError as error:
        raise Refused(
            f"{url} answers with something else than JSON: is this the address of a testbed?"
        ) from error
