"""An agent as a whole: it has a name, says how it is, sends its logs, and takes messages one after the other."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Collection, Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from .broker import Broker, messages
from .heartbeat import Heartbeat
from .identity import agent_name, state_path
from .logs import LogHandler
from .rest import Rest
from .state import State
from .stream import CONNECTED, DISCONNECTED, Event, positions

_POSITION = "last_event_id"

logger = logging.getLogger(__name__)


class Agent:
    """A context manager. Inside, the agent has its `name` and beats, and what it logs with Python's logging goes to the
    testbed too, from INFO on, as far as the levels of its loggers let it through. At the end, by Ctrl-C, SIGTERM or an
    exception as well, it says that it has exited.

    `rest` asks the testbed anything else; `heartbeat` says what else there is to say.
    """

    name: str
    heartbeat: Heartbeat

    def __init__(
        self,
        agent_type: str,
        rest: Rest | None = None,
        *,
        namespace: str = "",
        description: str = "",
        state_file: Path | None = None,
    ) -> None:
        """
        Args:
            agent_type: such as `data` or `fastmon`; the first part of the name.
            rest: the testbed; that of the environment without.
            namespace: the only one whose messages it takes; all without.
            description: what the agent is for.
            state_file: where it keeps its name and its place in the stream; by default `state_path()`. Of several agents of
                one type on one host each needs its own.

        Raises:
            SettingMissing: the environment names no testbed.
        """
        self.rest = rest or Rest.from_environment()
        self._agent_type = agent_type
        self._namespace = namespace
        self._description = description
        self._state = State(state_file or state_path(self.rest, agent_type))
        self._leave = ExitStack()

    def __enter__(self) -> Agent:
        """
        Raises:
            Refused, Away: the testbed does not let the agent in, or does not answer.
            StateInUse: an agent runs already with this state file.
        """
        with ExitStack() as stack:
            stack.enter_context(self._state)
            self.name = agent_name(self.rest, self._state, self._agent_type)
            stack.enter_context(_logging_to(LogHandler(self.rest, self._agent_type, self.name)))
            self.heartbeat = Heartbeat(
                self.rest,
                self.name,
                self._agent_type,
                namespace=self._namespace,
                description=self._description,
            )
            self.heartbeat.start()
            stack.enter_context(_ended_by_sigterm())
            self._leave = stack.pop_all()
        self.heartbeat.say(operational_state="READY")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._leave:
            why = ""
            if isinstance(error, Exception):
                why = f"ended by {type(error).__name__}: {error}"
                logger.error("This agent is ended by an error", exc_info=error)
            self.heartbeat.stop(why)

    def events(
        self, msg_types: Collection[str] = (), *, broker: Broker | None = None
    ) -> Generator[Event, None, None]:
        """Messages, each at least once: also those that came while the agent was away, from its second start on.

        A message counts as handled when the next one is asked for. One that was not comes again after a restart.

        Args:
            msg_types: only these; all without.
            broker: where messages are taken from; the testbed's stream over HTTP without.

        Raises:
            Refused: the stream or the broker does not let the agent in; or it has been away for too long for the stream,
                which `forget_place()` settles.
            SettingMissing: a broker is given, but stomp.py is not installed.
        """
        self._register("activemq" if broker else "sse", msg_types)
        source = self._queue(broker, msg_types) if broker else self._stream(msg_types)
        with closing(source):
            for event in source:
                if event.type == DISCONNECTED:
                    self._lost(event.data["reason"])
                elif event.type == CONNECTED:
                    self.heartbeat.say(status="OK", description=self._description, mq_connected=True)
                else:
                    self.heartbeat.say(operational_state="PROCESSING")
                    yield event
                    self.heartbeat.say(operational_state="READY")

    def forget_place(self) -> None:
        """Begin the stream with what happens from now on, and give up what came while the agent was away."""
        self._state.put(_POSITION, None)

    def _stream(self, msg_types: Collection[str]) -> Generator[Event, None, None]:
        """The stream from where the agent was; each event is behind it when the next one is asked for."""
        wish = {"msg_types": ",".join(msg_types), "namespace": self._namespace}
        for event in positions(self.rest.url, self.rest.token, wish, self._state.get(_POSITION)):
            if event.type:
                yield event
            if event.id is not None:
                self._state.put(_POSITION, event.id)

    def _queue(self, broker: Broker, msg_types: Collection[str]) -> Generator[Event, None, None]:
        return messages(broker, self.name, msg_types, namespace=self._namespace)

    def _register(self, delivery: str, msg_types: Collection[str]) -> None:
        filters = {"msg_types": sorted(msg_types)} if msg_types else {}
        subscriber: dict[str, Any] = {
            "subscriber_name": self.name,
            "description": self._description,
            "is_active": True,
            "fraction": 1.0,
            "delivery_type": delivery,
            "message_filters": filters,
        }
        self.rest.post("subscribers/", subscriber)

    def _lost(self, reason: str) -> None:
        logger.warning("Messages do not come: %s", reason)
        self.heartbeat.say(status="WARNING", description=reason, mq_connected=False)


@contextmanager
def _logging_to(handler: LogHandler) -> Iterator[None]:
    root = logging.getLogger()
    handler.setLevel(logging.INFO)
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        handler.close()


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """SIGTERM ends the program as the end of its text would, unless the program has other plans for it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    if before is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _exit)
    try:
        yield
    finally:
        if before is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _exit(signum: int, frame: FrameType | None) -> None:
    sys.exit(0)
