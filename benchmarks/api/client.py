"""A client of the REST interface that keeps its connection until it leaves, as a program would that asks often."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from typing import Any, Self

TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; `queries` is how many the server took for it."""

    status: int
    body: bytes
    queries: int

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class Client:
    """One connection with a token, through what the server takes for its proxy."""

    def __init__(self, port: int, token: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
        self._headers = {"Authorization": f"Token {token}", "X-Forwarded-Proto": "https"}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._connection.close()

    def ask(self, method: str, path: str, body: bytes | None = None) -> Answer:
        """The answer, read to its end.

        Raises:
            OSError: the server does not answer.
        """
        headers = self._headers | ({"Content-Type": "application/json"} if body else {})
        try:
            self._connection.request(method, path, body, headers)
            answer = self._connection.getresponse()
            return Answer(answer.status, answer.read(), int(answer.headers.get("X-Queries", 0)))
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise ConnectionError(f"{method} {path}: {error}") from error

    def get(self, path: str) -> Answer:
        """What is at an address.

        Raises:
            SystemExit: it is not answered with 200.
        """
        return self._accepted("GET", path, None, 200)

    def post(self, path: str, body: Any) -> Answer:
        """What the creation of something new is answered.

        Raises:
            SystemExit: it is not answered with 201.
        """
        return self._accepted("POST", path, json.dumps(body).encode(), 201)

    def _accepted(self, method: str, path: str, body: bytes | None, status: int) -> Answer:
        answer = self.ask(method, path, body)
        if answer.status != status:
            said = answer.body[:500].decode(errors="replace")
            raise SystemExit(f"{method} {path} was answered with {answer.status}: {said}")
        return answer
