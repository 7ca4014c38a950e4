"""A client of ActiveMQ that knows nothing of the testbed: stomp.py, plain JSON, one listener."""

from __future__ import annotations

import json
import threading
import uuid
from typing import Any

import stomp

PATIENCE = 60.0


class PlainClient(stomp.ConnectionListener):  # type: ignore[misc] # stomp.py has no types
    """Sends JSON and keeps what comes on the destinations it subscribed to, by destination."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._lock = threading.Lock()
        self._received = threading.Condition()
        self._receipts: set[str] = set()
        self._came: list[tuple[str, dict[str, Any], dict[str, str]]] = []
        self._subscriptions = 0
        self._connection = stomp.Connection(
            [(environment["ACTIVEMQ_HOST"], int(environment["ACTIVEMQ_PORT"]))]
        )
        self._connection.set_listener("", self)
        self._connection.connect(environment["ACTIVEMQ_USER"], environment["ACTIVEMQ_PASSWORD"], wait=True)

    def subscribe(self, destination: str) -> None:
        """Keep what comes there from now on; the broker knows of it."""
        self._subscriptions += 1
        receipt = uuid.uuid4().hex
        self._connection.subscribe(destination, id=str(self._subscriptions), ack="auto", receipt=receipt)
        self._wait_for(receipt)

    def send(self, destination: str, body: dict[str, Any] | str, **headers: str) -> None:
        """Send JSON, or a text as it is."""
        text = body if isinstance(body, str) else json.dumps(body)
        self._connection.send(destination, text, headers=headers)

    def send_surely(self, destination: str, body: dict[str, Any], **headers: str) -> None:
        """Send JSON, and wait until the broker has it on its disk."""
        receipt = uuid.uuid4().hex
        self.send(destination, body, receipt=receipt, **headers)
        self._wait_for(receipt)

    def _wait_for(self, receipt: str) -> None:
        with self._received:
            assert self._received.wait_for(lambda: receipt in self._receipts, PATIENCE), "no receipt came"

    def on_receipt(self, frame: Any) -> None:
        with self._received:
            self._receipts.add(frame.headers["receipt-id"])
            self._received.notify_all()

    def on_message(self, frame: Any) -> None:
        with self._lock:
            self._came.append((frame.headers["destination"], json.loads(frame.body), dict(frame.headers)))

    def came(self, destination: str) -> list[dict[str, Any]]:
        """The messages so far."""
        return [body for body, _ in self.came_with_headers(destination)]

    def came_with_headers(self, destination: str) -> list[tuple[dict[str, Any], dict[str, str]]]:
        """The messages so far, each with its STOMP headers."""
        with self._lock:
            return [(body, headers) for where, body, headers in self._came if where == destination]

    def close(self) -> None:
        """Disconnect."""
        self._connection.disconnect()
