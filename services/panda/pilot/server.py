"""The pilot's side of PanDA's REST v1, and the download of sandboxes."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from functools import lru_cache
from http.client import HTTPException
from pathlib import Path
from typing import Any

from services.panda.pilot.errors import Away, Code, JobFailed

ORIGIN = "EIC.production"
CALL_SECONDS = 10.0
NO_JOBS = "No jobs in PanDA"
TO_BE_KILLED = "tobekilled"
NOT_FOUND = 404
LONGEST_REASON = 300


class PandaServer:
    """One server. Each call is a connection of its own, as with PanDA's client.

    Args:
        base: URL without a path.
        token: file of the bearer token, read at each call: the server may have written another one.
    """

    def __init__(self, base: str, token: Path) -> None:
        self._base = base
        self._token = token
        # The server is on this machine or in this network; a proxy of the user's shell is for elsewhere.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        self._archive = lru_cache(maxsize=4)(self._download)

    def acquire(self, *, queue: str, node: str, label: str) -> dict[str, Any] | None:
        """A job of this queue, None when there is none.

        Raises:
            Away: PanDA does not answer, or refuses.
        """
        asked = {"site_name": queue, "prod_source_label": label, "node": node, "n_jobs": 1}
        answer = self._call("pilot/acquire_jobs", asked)
        if not answer["success"]:
            if answer["message"] == NO_JOBS:
                return None
            raise Away(f"PanDA gives no jobs: {answer['message']}")
        jobs: list[dict[str, Any]] = answer["data"]["jobs"]
        return jobs[0] if jobs else None

    def update(self, report: dict[str, Any]) -> bool:
        """Say what a job does; whether it may go on.

        Raises:
            Away: PanDA does not answer, or refuses.
        """
        answer = self._call("pilot/update_job", report)
        if not answer["success"]:
            raise Away(f"PanDA does not take the report: {answer['message']}")
        return bool(answer["data"].get("command") != TO_BE_KILLED)

    def status(self, panda_id: int) -> tuple[str, int]:
        """State and attempt number of a job.

        Raises:
            Away: PanDA does not answer, or refuses.
        """
        answer = self._call(f"pilot/get_job_status?job_ids={panda_id}", None)
        if not answer["success"]:
            raise Away(f"PanDA does not tell a job's state: {answer['message']}")
        known = answer["data"][0]
        return known["status"], known["attempt_number"]

    def sandbox(self, source_url: str, archive: str) -> bytes:
        """The archive that the user's client has uploaded; the last few are kept, for they never change.

        Raises:
            Away: the server does not answer.
            JobFailed: it does not have this archive.
        """
        return self._archive(f"{source_url}/cache/{urllib.parse.quote(archive)}")

    def _download(self, url: str) -> bytes:
        try:
            return self._open(urllib.request.Request(url))  # noqa: S310 - the server says where
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == NOT_FOUND:
                raise JobFailed(f"the sandbox is not there: {url}", Code.SANDBOX) from error
            raise Away(f"{url} answers {error.code}") from error

    def _call(self, method: str, body: dict[str, Any] | None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Origin": ORIGIN,
            "Authorization": f"Bearer {self._bearer()}",
        }
        request = urllib.request.Request(f"{self._base}/api/v1/{method}", data, headers)  # noqa: S310 - ours
        try:
            answer: dict[str, Any] = json.loads(self._open(request))
        except urllib.error.HTTPError as error:
            with error:
                text = error.read().decode(errors="replace").strip()
            raise Away(f"PanDA refuses {method.partition('?')[0]}: {text[:LONGEST_REASON]}") from error
        except ValueError as error:
            raise Away(f"PanDA does not answer in JSON: {error}") from error
        return answer

    def _open(self, request: urllib.request.Request) -> bytes:
        try:
            with self._opener.open(request, timeout=CALL_SECONDS) as response:
                content: bytes = response.read()
        except urllib.error.HTTPError:
            raise
        except (OSError, HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise Away(f"PanDA does not answer at {self._base}: {reason}") from error
        return content

    def _bearer(self) -> str:
        try:
            return self._token.read_text().strip()
        except OSError as error:
            raise Away(f"the pilots' token cannot be read: {error}") from error
