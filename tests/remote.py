"""Remote control from outside: the manager as a process, and somebody at another machine who commands it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import stomp

from services.base import REPOSITORY

POLL_SECONDS = 0.05
ANSWER_SECONDS = 60.0


class ManagerProcess:
    """`swf-testbed agent-manager` as a user starts it; what it says goes to a file."""

    def __init__(self, environment: Mapping[str, str], user: str, log: Path) -> None:
        self._log = log
        with log.open("ab") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "swf_site.cli", "agent-manager", "--user", user],
                cwd=REPOSITORY,
                env=environment,
                stderr=file,
            )

    def said(self, words: str) -> int:
        """How many lines with these words it has written."""
        return sum(words in line for line in self._log.read_text().splitlines())

    def wait_said(self, words: str, times: int = 1, seconds: float = ANSWER_SECONDS) -> None:
        """Wait until it has written so many lines with these words."""
        deadline = time.monotonic() + seconds
        while self.said(words) < times:
            assert time.monotonic() < deadline, f"{words!r} was not said:\n{self._log.read_text()}"
            assert self.process.poll() is None, f"it has ended:\n{self._log.read_text()}"
            time.sleep(POLL_SECONDS)

    def end(self, seconds: float = ANSWER_SECONDS) -> int:
        """SIGTERM it; its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def kill(self) -> None:
        """SIGKILL it."""
        self.process.kill()
        self.process.wait()


class Operator(stomp.ConnectionListener):
    """A client of stomp.py that commands the manager of `user` and listens on a queue of its own."""

    def __init__(self, at: Mapping[str, str], user: str) -> None:
        self.answers: Queue[tuple[dict[str, str], dict[str, Any]]] = Queue()
        self.control = f"/queue/agent_control.{user}"
        self.name = f"answers-{uuid.uuid4().hex[:8]}"
        self.connection = stomp.Connection12([(at["ACTIVEMQ_HOST"], int(at["ACTIVEMQ_STOMP_PORT"]))])
        self.connection.set_listener("", self)
        self.connection.connect(at["ACTIVEMQ_USER"], at["ACTIVEMQ_PASSWORD"], wait=True)
        self.listen(f"/queue/{self.name}")

    def on_message(self, frame: Any) -> None:
        self.answers.put((frame.headers, json.loads(frame.body)))

    def listen(self, destination: str) -> None:
        """Take the answers that come there, too."""
        self.connection.subscribe(destination, id=uuid.uuid4().hex)

    def send(self, body: str | bytes, **headers: str) -> None:
        """Send what may be no command at all; header names with _ for -."""
        plain = {name.replace("_", "-"): value for name, value in headers.items()}
        self.connection.send(self.control, body, headers={"persistent": "true", **plain})

    def ask(self, command: str, *, seconds: float = ANSWER_SECONDS, **fields: Any) -> dict[str, Any]:
        """Send a command; its answer, whatever others come meanwhile."""
        return self.answer_to(self.command(command, **fields), seconds)

    def command(self, command: str, **fields: Any) -> str:
        """Send a command without waiting; the `msg_id` by which its answer is known."""
        msg_id = uuid.uuid4().hex
        self.send(json.dumps({"command": command, "msg_id": msg_id, "reply_to": self.name, **fields}))
        return msg_id

    def answer_to(self, msg_id: str, seconds: float = ANSWER_SECONDS) -> dict[str, Any]:
        """The answer to a command sent before."""
        return self._next(lambda answer: answer.get("msg_id") == msg_id, seconds)[1]

    def answer(self) -> tuple[dict[str, str], dict[str, Any]]:
        """Headers and content of the next answer."""
        return self._next(lambda _: True, ANSWER_SECONDS)

    def _next(
        self, wanted: Callable[[dict[str, Any]], bool], seconds: float
    ) -> tuple[dict[str, str], dict[str, Any]]:
        deadline = time.monotonic() + seconds
        while True:
            try:
                found = self.answers.get(timeout=max(0.0, deadline - time.monotonic()))
            except Empty:
                raise AssertionError(f"no answer in {seconds:.0f} s") from None
            if wanted(found[1]):
                return found

    def leave(self) -> None:
        """Log out, if the broker is still there."""
        if self.connection.is_connected():
            self.connection.disconnect(receipt=uuid.uuid4().hex)  # with one, it waits for its thread's end
