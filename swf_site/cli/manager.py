"""`swf-testbed agent-manager`: commands from the queue `agent_control.<user>` on ActiveMQ, and their answers.

The main thread serves the connection. Commands are carried out in two other threads: heart-beats go on, and questions are
answered while the testbed starts. A command is acknowledged after its answer is with the broker; if this process or the
connection ends before, the broker delivers it again.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import re
import signal
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from typing import Any

from apps.agents.bus.stomp.frames import Frame, RefusedError, StompError, encode
from apps.agents.bus.stomp.wire import Wire
from services.base import EngineError
from services.registry import engines
from services.variables import VariableError
from swf_site.cli.broker import Broker, brokers
from swf_site.cli.control import Controller, NotJsonError, Request, parse
from swf_site.cli.errors import CommandError
from swf_site.cli.home import Home
from swf_site.cli.supervisor import Supervisor

log = logging.getLogger(__name__)

USER = re.compile(r"[\w.@-]+", re.ASCII)
BEATS_PER_INTERVAL = 2
RECEIPT_SECONDS = 10.0
# How soon a signal is noticed, at most.
TICK_SECONDS = 0.5
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.5, 15.0
# Commands that wait behind a long one must not keep a question from coming through.
PREFETCH = 100
SHOWN_BYTES = 80


class AgentManager:
    """The manager of one user and home."""

    def __init__(self, home: Home, user: str) -> None:
        """Take the commands for `user`.

        Raises:
            CommandError: that is no login name.
        """
        if not USER.fullmatch(user):
            raise CommandError(f"{user!r} is no login name: letters, digits and . _ @ - may be in it")
        self.queue = f"agent_control.{user}"
        self._home = home
        self._user = user
        self._controller = Controller(home, user)
        self._said = ""  # why it waits for the broker
        self._wait = FIRST_WAIT_SECONDS
        self._leaving = False
        self._signals: SimpleQueue[int] = SimpleQueue()
        self._changes = ThreadPoolExecutor(1, "changes")
        self._questions = ThreadPoolExecutor(1, "questions")
        self._under_way: set[Future[None]] = set()

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT. A command in progress is finished first; the second signal does not wait.

        Raises:
            CommandError: ActiveMQ is not the bus here, or this user's manager runs already.
            EngineError, VariableError: what is said about the broker has no meaning.
        """
        self._home.prepare()
        brokers(self._home)
        with _only_one(self._home, self._user):
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, self._leave)
            self._keep_connected()
            self._changes.shutdown()
            self._questions.shutdown()
        log.info("ended")

    def _keep_connected(self) -> None:
        while not self._leaving:
            reason = self._visit()
            if reason and reason != self._said:
                log.warning("waiting for ActiveMQ: %s%s", reason, self._hint())
            self._said = reason
            with suppress(Empty):
                self._signals.get(timeout=self._wait)
            self._wait = min(2 * self._wait, LONGEST_WAIT_SECONDS)

    def _visit(self) -> str:
        """Serve at the first broker that lets us in; returns why there is none, or none any more."""
        reasons = []
        try:
            for broker in brokers(self._home):
                try:
                    with broker.connected() as wire:
                        self._serve(wire, broker)
                    return ""
                except (OSError, StompError) as error:
                    reasons.append(f"{broker}: {error}")
        except (CommandError, EngineError, VariableError) as error:
            reasons.append(str(error))
        return "; ".join(reasons)

    def _hint(self) -> str:
        ours = "activemq" in engines(self._home.directory) and not Supervisor(self._home).is_running()
        return " (the testbed's own one is started by: swf-testbed start-local)" if ours else ""

    def _serve(self, wire: Wire, broker: Broker) -> None:
        """Take commands until this process is to end, or the connection does."""
        subscription = {"id": "control", "destination": f"/queue/{self.queue}", "ack": "client-individual"}
        options = {"activemq.prefetchSize": PREFETCH, "receipt": "control"}
        wire.confirm(encode("SUBSCRIBE", {**subscription, **options}), "control", RECEIPT_SECONDS)
        log.info("listening on /queue/%s at %s", self.queue, broker)
        self._said, self._wait = "", FIRST_WAIT_SECONDS
        try:
            while not self._leaving:
                while wire.frames and not self._leaving:
                    self._take(wire, broker, wire.frames.popleft())
                _tick(wire)
            if self._in_progress():
                log.info("ending as soon as the command in progress is done")
            while self._in_progress():
                _tick(wire)
        finally:
            self._in_progress()

    def _in_progress(self) -> bool:
        """Leave to the broker what has not begun; whether anything has and is not done."""
        self._under_way = {one for one in self._under_way if not one.cancel() and not one.done()}
        return bool(self._under_way)

    def _take(self, wire: Wire, broker: Broker, frame: Frame) -> None:
        try:
            request = parse(frame.body, frame.headers)
        except NotJsonError as error:
            log.warning("put aside as a dead letter, no JSON: %r (%s)", frame.body[:SHOWN_BYTES], error)
            wire.send(encode("NACK", {"id": frame.headers["ack"]}))
            return
        self._under_way = {one for one in self._under_way if not one.done()}
        thread = self._changes if request.changes else self._questions
        self._under_way.add(thread.submit(self._carry_out, request, wire, broker, frame.headers))

    def _carry_out(self, request: Request, wire: Wire, broker: Broker, headers: dict[str, str]) -> None:
        answer = self._controller.answer(request)
        level = logging.WARNING if answer["status"] == "error" else logging.INFO
        log.log(level, "%.80r: %s %s", request.command, answer["status"], answer.get("message", ""))
        try:
            if request.reply_to is not None:
                _reply(broker, request.reply_to, answer, headers.get("correlation-id"))
            wire.send(encode("ACK", {"id": headers["ack"]}))
        except (OSError, StompError) as error:
            log.warning("%.80r is to be delivered again: %s", request.command, error)

    def _leave(self, number: int, _frame: object) -> None:
        self._leaving = True
        self._signals.put(number)  # unlike an Event's set(), it may interrupt anything
        signal.signal(number, signal.SIG_DFL)


def _tick(wire: Wire) -> None:
    wire.read(TICK_SECONDS)
    wire.beat(BEATS_PER_INTERVAL)


def _reply(broker: Broker, destination: str, answer: dict[str, Any], correlation_id: str | None) -> None:
    """Hand an answer over to the broker. On a connection of its own, as a destination it refuses ends that.

    Raises:
        OSError, StompError: the broker is away.
    """
    headers = {
        "destination": destination,
        "persistent": "true",
        "content-type": "application/json",
        "correlation-id": correlation_id,
        "receipt": "answer",
    }
    frame = encode("SEND", headers, json.dumps(answer).encode(), content_length=False)
    with broker.connected() as wire:
        try:
            wire.confirm(frame, "answer", RECEIPT_SECONDS)
        except RefusedError as error:
            log.warning("no answer to %s: %s", destination, error)


@contextmanager
def _only_one(home: Home, user: str) -> Iterator[None]:
    with (home.directory / f"agent-manager.{user}.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise CommandError(
                f"an agent-manager of {user} for {home.directory} runs already, as process {lock.read()}"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
