"""The heartbeat of an agent: what it says of itself, every few seconds, from a thread of its own."""

from __future__ import annotations

import logging
import os
import socket
import threading
from typing import Any

from .errors import Away, ClientError
from .rest import Rest

# The testbed calls an agent silent after 15 s.
PERIOD_SECONDS = 5.0
LAST_WORD_SECONDS = 5.0
_PATH = "systemagents/heartbeat/"
_SAID_AT_ONCE = ("status", "mq_connected")

logger = logging.getLogger(__name__)


class Heartbeat:
    """Tells the testbed that the agent lives and how it is. `start()` and `stop()` it once; `say()` what has changed."""

    def __init__(
        self,
        rest: Rest,
        name: str,
        agent_type: str,
        *,
        namespace: str = "",
        description: str = "",
        period: float = PERIOD_SECONDS,
    ) -> None:
        self._rest = rest
        self._period = period
        self._guard = threading.Lock()
        self._wake = threading.Event()
        self._stopping = False
        self._said: dict[str, Any] = {
            "instance_name": name,
            "agent_type": agent_type.lower(),
            "namespace": namespace,
            "description": description,
            "status": "OK",
            "operational_state": "STARTING",
            "hostname": socket.gethostname(),
            "pid": os.getpid(),
        }
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Say that the agent starts, then go on in the background.

        Raises:
            Refused: the testbed does not take it: the token, the name or a value is wrong.
            Away: it does not answer.
        """
        self._rest.post(_PATH, self._now())
        self._thread.start()

    def say(self, **said: Any) -> None:
        """Change what the next heartbeats say; a changed `status` or `mq_connected` is said at once.

        Args:
            said: fields of the heartbeat: `status` (OK, WARNING, ERROR), `description`, `operational_state` (READY,
                PROCESSING), `mq_connected`, `current_stf_count`, `total_stf_processed`, `metadata`, ...
        """
        with self._guard:
            before = [self._said.get(name) for name in _SAID_AT_ONCE]
            self._said.update(said)
            is_news = before != [self._said.get(name) for name in _SAID_AT_ONCE]
        if is_news:
            self._wake.set()

    def stop(self, description: str = "") -> None:
        """Say that the agent has ended, and why if there is something to say; 5 s at most are spent on it."""
        self._stopping = True
        self._wake.set()
        self._thread.join(LAST_WORD_SECONDS)
        last = {"status": "EXITED", "operational_state": "EXITED", "description": description}
        try:
            self._rest.post(_PATH, self._now() | last, patience=LAST_WORD_SECONDS)
        except ClientError as error:
            logger.warning("The testbed was not told that this agent ends: %s", error)

    def _run(self) -> None:
        refused = ""
        while not self._stopping:
            self._wake.wait(self._period)
            self._wake.clear()
            if self._stopping:
                return
            try:
                # Not again: the next one says more. But to the end, or one that is given up while the testbed has it in hand
                # could come to be written after the next, even after the last word.
                self._rest.post(_PATH, self._now(), patience=0.0)
                refused = ""
            except Away as error:
                logger.debug("A heartbeat was lost: %s", error)
            except ClientError as error:
                if str(error) != refused:
                    logger.error("The testbed refuses heartbeats: %s", error)
                refused = str(error)

    def _now(self) -> dict[str, Any]:
        with self._guard:
            return dict(self._said)
