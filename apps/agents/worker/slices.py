"""One worker: takes slices and calls to stop, processes one slice at a time, and knows when to leave."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from apps.runs.served import served_namespaces

from ..bus.fast_schemas import Slice, StopTransformer
from ..bus.parse import MessageError, parse
from .messages import heartbeat_of, result_of
from .processing import SliceFailed, process
from .voice import Voice

log = logging.getLogger(__name__)

NEVER = float("inf")


def new_worker_id() -> str:
    """A name that no other worker has."""
    return f"{socket.gethostname()[:60]}-{os.getpid()}-{uuid4().hex[:6]}"


@dataclass(frozen=True)
class Limits:
    """When a worker leaves by itself: after so many seconds without a slice, or after so many slices. And how many seconds
    a command may take for one.
    """

    idle_seconds: float = NEVER
    slices: float = NEVER
    payload_seconds: float = 3600.0


class SliceWorker:
    """What a worker process does with messages. `receive` is for one thread, the rest for any."""

    def __init__(
        self,
        worker_id: str,
        limits: Limits,
        voice: Voice,
        *,
        leave: Callable[[], None],
        say: Callable[[str], None],
        scratch: Path | None = None,
    ) -> None:
        """Begin with nothing in hand.

        Args:
            leave: called, more than once maybe, when no further slice is wanted.
            say: is given one line about each slice.
            scratch: where commands work; without, where the system keeps temporary files.
        """
        self.worker_id = worker_id
        self.done = self.failed = 0
        self.reason = ""
        self._limits = limits
        self._voice = voice
        self._leave = leave
        self._say = say
        self._scratch = scratch
        self._in_hand: Slice | None = None
        self._idle_since = time.monotonic()
        self._started_at = datetime.now(UTC)
        self._lock = threading.Lock()

    @property
    def is_leaving(self) -> bool:
        """Whether no further slice is wanted."""
        return bool(self.reason)

    def stop(self, reason: str) -> None:
        """Want no further slice; the first reason counts."""
        self.reason = self.reason or reason
        self._leave()

    def receive(self, body: Any, *, again: bool) -> None:
        """Do what a message says; one that is not understood is logged.

        Args:
            again: whether the message was given to a worker before. A slice is then let be: it may be what killed that
                worker, and if nobody has it in hand, its lease brings it back, and counts the try.
        """
        try:
            message = parse(body)
        except MessageError as error:
            log.warning("a message is not understood: %s", error)
            return
        if isinstance(message, StopTransformer):
            self._obey(message)
        elif isinstance(message, Slice) and not again:
            self._process(message)

    def beat(self) -> None:
        """Say what is in hand; leave if nothing came for too long."""
        with self._lock:
            in_hand, idle_since = self._in_hand, self._idle_since
        if in_hand is None and time.monotonic() - idle_since > self._limits.idle_seconds:
            self.stop(f"no slice came for {self._limits.idle_seconds:g} s")
        self._voice.beat(
            self._heartbeat("stopping" if self.is_leaving else "busy" if in_hand else "ready", in_hand)
        )

    def end(self) -> None:
        """The last word."""
        self._voice.beat(self._heartbeat("ended", None), last=True)

    def _obey(self, message: StopTransformer) -> None:
        meant = message.content.get("worker_ids")
        is_ours = message.namespace in ("", *served_namespaces())
        if is_ours and (meant is None or (isinstance(meant, list) and self.worker_id in meant)):
            self.stop("stop_transformer")

    def _process(self, message: Slice) -> None:
        begun_at, begin = datetime.now(UTC), time.monotonic()
        with self._lock:
            self._in_hand = message
        found, error = self._found(message)
        self.done, self.failed = self.done + (not error), self.failed + bool(error)
        self._voice.tell(result_of(self.worker_id, message, found, error, begun_at))
        with self._lock:
            self._in_hand, self._idle_since = None, time.monotonic()
        given, outcome = message.content, f"failed: {error}" if error else "done"
        self._say(
            f"run {message.run_id} {given.tf_filename} TF {given.start} to {given.end} {outcome}"
            f" in {time.monotonic() - begin:.3f} s"
        )
        if self.done + self.failed >= self._limits.slices:
            self.stop(f"{self._limits.slices:.0f} slices are processed")

    def _found(self, message: Slice) -> tuple[dict[str, Any], str]:
        """What is in the slice, or why that cannot be said."""
        try:
            timeout = self._limits.payload_seconds
            return process(message.content, timeout=timeout, scratch=self._scratch), ""
        except SliceFailed as error:
            return {}, str(error)
        except Exception as error:
            # It would end the worker, and the next one over the same slice.
            log.exception("slice %s", message.content.req_id)
            return {}, f"{type(error).__name__}: {error} (see the worker's log)"

    def _heartbeat(
        self, status: Literal["ready", "busy", "stopping", "ended"], in_hand: Slice | None
    ) -> dict[str, Any]:
        return heartbeat_of(
            self.worker_id,
            status,
            in_hand,
            slices_completed=self.done,
            slices_failed=self.failed,
            started_at=self._started_at,
            reason=self.reason,
        )
