"""`manage.py worker`: one worker of slices in the foreground."""

from __future__ import annotations

import json
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from apps.agents.worker.main import run_slice_worker
from apps.agents.worker.slices import NEVER, Limits, SliceWorker, new_worker_id

PROGRESS_SECONDS = 10.0


class Command(BaseCommand):
    help = (
        "Process slices of the fast path, one at a time, until told to stop. Needs the broker (BROKER_URL or "
        "ACTIVEMQ_*, SWF_NAMESPACE, SWF_NAMESPACES) and the data (the paths or root:// URLs that slices name), no database."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--worker-id", default="", help="default: host, process id and a random part")
        parser.add_argument(
            "--idle-timeout", type=float, default=NEVER, help="leave after SECONDS without a slice"
        )
        parser.add_argument("--max-slices", type=int, default=None, help="leave after so many slices")
        parser.add_argument(
            "--payload-timeout", type=float, default=3600.0, help="seconds that a command may take for one"
        )
        parser.add_argument("--verbose", action="store_true", help="print a line about each slice")
        parser.add_argument("--log-level", default="WARNING")

    def handle(self, *args: Any, **options: Any) -> None:
        worker_id = options["worker_id"] or new_worker_id()
        limits = Limits(
            idle_seconds=options["idle_timeout"],
            slices=options["max_slices"] or NEVER,
            payload_seconds=options["payload_timeout"],
        )
        begin = self._said_at = time.monotonic()
        self._said = 0
        self._say(f"worker {worker_id} takes slices")
        worker = run_slice_worker(
            worker_id,
            limits,
            log_level=options["log_level"],
            say=self._say if options["verbose"] else lambda _: None,
            progress=self._progress,
        )
        self._say(json.dumps(_summary(worker, time.monotonic() - begin)))

    def _progress(self, worker: SliceWorker) -> None:
        now, finished = time.monotonic(), worker.done + worker.failed
        if now - self._said_at < PROGRESS_SECONDS or finished == self._said:
            return
        rate = (finished - self._said) / (now - self._said_at)
        self._say(f"{worker.done} slices done, {worker.failed} failed, {rate:.1f}/s")
        self._said, self._said_at = finished, now

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()


def _summary(worker: SliceWorker, seconds: float) -> dict[str, Any]:
    return {
        "worker_id": worker.worker_id,
        "done": worker.done,
        "failed": worker.failed,
        "seconds": round(seconds, 1),
        "reason": worker.reason,
    }
