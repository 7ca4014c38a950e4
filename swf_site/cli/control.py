"""Remote control without its transport: what a request says, what is done about it, what the answer says."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from apps.agents.bus import asking
from services.base import EngineError
from swf_site.cli import system
from swf_site.cli.errors import CommandError
from swf_site.cli.home import Home
from swf_site.cli.supervisor import Supervisor

log = logging.getLogger(__name__)

CHANGES = ("start_testbed", "stop_testbed", "restart")
QUESTIONS = ("status", "ping")
SHOWN_CHARACTERS = 80


class NotJsonError(ValueError):
    """A message that is no JSON text."""


@dataclass(frozen=True)
class Request:
    """One request; `problem` says what could not be understood of it. `reply_to` is a STOMP destination."""

    command: object = None
    config_name: object = None
    reply_to: str | None = None
    echo: dict[str, Any] = field(default_factory=dict)
    problem: str | None = None

    @property
    def changes(self) -> bool:
        """Whether it is to start or stop something."""
        return self.problem is None and self.command in CHANGES


def parse(body: bytes, headers: Mapping[str, str]) -> Request:
    """What a message asks for.

    Args:
        headers: of STOMP; `reply-to` and `correlation-id` count where the body has no such field.

    Raises:
        NotJsonError: the body is no JSON.
    """
    try:
        said = json.loads(body, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise NotJsonError(str(error)) from None
    fields = said if isinstance(said, dict) else {}
    return Request(
        command=fields.get("command"),
        config_name=fields.get("config_name"),
        reply_to=asking.answer_to(fields, headers),
        echo=asking.echo(fields, headers),
        problem=_problem(said),
    )


def _problem(said: object) -> str | None:
    if not isinstance(said, dict):
        return f"the message must be an object with the field command, not {_shown(said)}"
    command, config_name, reply_to = (said.get(name) for name in ("command", "config_name", "reply_to"))
    known = (*CHANGES, *QUESTIONS)
    if not isinstance(command, str) or command not in known:
        return f"command must be one of {', '.join(known)}, not {_shown(command)}"
    if not isinstance(config_name, str | None):
        return f"config_name must be text, not {_shown(config_name)}"
    if reply_to is not None and asking.destination(reply_to) is None:
        return f"reply_to must be /queue/NAME, /topic/NAME or the NAME of a queue, not {_shown(reply_to)}"
    return None


def _shown(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}..."


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


class Controller:
    """Carries out requests for the testbed of one home. Safe to use from several threads."""

    def __init__(self, home: Home, user: str) -> None:
        self._home = home
        self._user = user
        self._actions: dict[object, Callable[[], dict[str, Any]]] = {
            "start_testbed": self._start,
            "stop_testbed": self._stop,
            "restart": self._restart,
            "status": self._status,
            "ping": lambda: {"status": "alive"},
        }

    def answer(self, request: Request) -> dict[str, Any]:
        """Do what is asked for and return the answer; a failure is one too. Never raises."""
        found = self._obey(request) if request.problem is None else _error(request.problem)
        return {
            **request.echo,
            "command": request.command,
            "username": self._user,
            "timestamp": datetime.now(UTC).isoformat(),
            **found,
        }

    def _obey(self, request: Request) -> dict[str, Any]:
        try:
            found = self._actions[request.command]()
        except (CommandError, EngineError) as error:
            return _error(str(error))
        except Exception as error:
            log.exception("%s failed", request.command)
            return _error(f"unexpected {type(error).__name__}: {error}")
        if request.config_name is not None and request.command in CHANGES:
            unused = f"config_name {_shown(request.config_name)} is not used: a run names its workflow"
            found["message"] += f"; {unused}"
        return found

    def _start(self) -> dict[str, Any]:
        self._home.prepare()
        with self._home.lock(_say_waiting):
            return _done(self._start_what_is_not_running())

    def _stop(self) -> dict[str, Any]:
        self._home.prepare()
        with self._home.lock(_say_waiting):
            return _done(self._stop_programs())

    def _restart(self) -> dict[str, Any]:
        self._home.prepare()
        with self._home.lock(_say_waiting):
            stopped = self._stop_programs()
            return _done(f"{stopped}; {self._start_what_is_not_running()}")

    def _start_what_is_not_running(self) -> str:
        before = self._running()
        system.start(self._home, StepLog())
        return f"started {_names(self._running() - before)}"

    def _stop_programs(self) -> str:
        before = self._running()
        system.stop_programs(self._home)
        after = self._running()
        return f"stopped {_names(before - after)}, still running: {_names(after)}"

    def _running(self) -> set[str]:
        states = Supervisor(self._home).states()
        return {name for name, state in states.items() if state.state == "RUNNING"}

    def _status(self) -> dict[str, Any]:
        state = system.inspect(self._home)
        running = [process.name for process in state.processes if process.state == "RUNNING"]
        return {
            "status": "ok",
            "ready": state.ready,
            "agents_running": [name for name in running if name in system.AGENTS],
            "supervisord_status": "running" if state.supervisor else "stopped",
            "programs": [asdict(process) for process in state.processes],
            "engines": [asdict(engine) for engine in state.engines],
            "dashboard": state.dashboard,
        }


class StepLog:
    """A watcher of a start that logs what is done."""

    def begin(self, name: str) -> None:
        """Nothing is said before it is done."""

    def finish(self, name: str, note: str) -> None:
        """A step is done."""
        log.info("%s: %s", name, note)

    def fail(self, name: str) -> None:
        """A step has failed; its reason is in the answer."""
        log.error("%s: failed", name)


def _done(message: str) -> dict[str, Any]:
    return {"status": "ok", "message": message}


def _error(message: str) -> dict[str, Any]:
    return {"status": "error", "message": message}


def _names(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"


def _say_waiting() -> None:
    log.info("another call is starting or stopping this system: waiting for it")
