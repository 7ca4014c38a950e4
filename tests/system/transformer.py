"""A transformer of the existing swf system, written from its description alone: it knows nothing of the testbed.

It takes slices off `/queue/panda.slices.transformer`, one at a time, for one namespace and run; says what became of them on
`/topic/panda.results`; and leaves when `/topic/panda.transformer` says so.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import stomp

SLICES = "/queue/panda.slices.transformer"
BROADCAST = "/topic/panda.transformer"
RESULTS = "/topic/panda.results"
WORK, STOP = "work", "stop"
PATIENCE = 60.0


class Transformer(stomp.ConnectionListener):  # type: ignore[misc] # stomp.py has no types
    """One transformer, at work from its `beat` until `close`; its processor is the fake one, without the sleep."""

    def __init__(self, environment: dict[str, str], namespace: str, run_id: str) -> None:
        self.internal_id = str(uuid4())
        self.slices: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.stopped = threading.Event()
        self._subscribed = threading.Event()
        self._labels = {"vo": "eic", "namespace": namespace, "run_id": run_id}
        self._connection = stomp.Connection12(
            [(environment["ACTIVEMQ_HOST"], int(environment["ACTIVEMQ_PORT"]))]
        )
        self._connection.set_listener("", self)
        self._connection.connect(environment["ACTIVEMQ_USER"], environment["ACTIVEMQ_PASSWORD"], wait=True)
        selector = f"namespace='{namespace}' AND run_id='{run_id}'"
        one_at_a_time = {"activemq.prefetchSize": "1", "selector": selector}
        self._connection.subscribe(SLICES, id=WORK, ack="client-individual", headers=one_at_a_time)
        self._connection.subscribe(
            BROADCAST, id=STOP, ack="auto", headers={"selector": selector}, receipt="subscribed"
        )
        assert self._subscribed.wait(PATIENCE), "the broker does not say that it knows of the subscriptions"

    def on_receipt(self, frame: Any) -> None:
        if frame.headers["receipt-id"] == "subscribed":
            self._subscribed.set()

    def on_message(self, frame: Any) -> None:
        if frame.headers["subscription"] == STOP:
            if frame.headers["msg_type"] == "stop_transformer":
                self.stopped.set()
            return
        message = json.loads(frame.body)
        if message["msg_type"] == "slice":
            # Before its result is out: whoever sees that looks here.
            self.headers.append(dict(frame.headers))
            self.slices.append(message)
            self._process(message)
        self._connection.ack(frame.headers["ack"])

    def _process(self, message: dict[str, Any]) -> None:
        began = datetime.now(UTC)
        given = message["content"]
        inner = {
            **given,
            "processed": True,
            "state": "done",
            "actual_processing_time": 0.01,
            "nevents_processed": given["end"] - given["start"] + 1,
        }
        content = {
            "requested_at": message["created_at"],
            "processing_start_at": began.isoformat(),
            "processed_at": datetime.now(UTC).isoformat(),
            "state": "done",
            "hostname": socket.gethostname(),
            "panda_server_url": None,
            "panda_task_id": None,
            "panda_id": None,
            "harvester_id": None,
            "result": {"state": "done", "result": inner, "error": None},
        }
        created = datetime.now(UTC).replace(tzinfo=None).isoformat()
        self._publish(
            "slice_result",
            {"run_id": message["run_id"], "created_at": created, "content": content},
            persistent="true",
            **self._labels,
        )

    def beat(self) -> None:
        """Say that it is there. It does so every 30 s; nothing in a test takes so long."""
        labels = {name: value for name, value in self._labels.items() if name != "run_id"}
        self._publish(
            "heartbeat",
            {
                "internal_id": self.internal_id,
                "namespace": labels["namespace"],
                "timestamp": time.time(),
            },
            **labels,
        )

    def _publish(self, msg_type: str, body: dict[str, Any], **headers: str) -> None:
        self._connection.send(
            RESULTS,
            json.dumps({"msg_type": msg_type, **body}),
            headers={"msg_type": msg_type, "client-id": self.internal_id, **headers},
        )

    def close(self) -> None:
        """Disconnect."""
        self._connection.disconnect()
