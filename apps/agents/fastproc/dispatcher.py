"""The dispatcher: gives slices out to the workers that are up, and no more than they can have on their way.

A slice is claimed first and sent when that is committed. If this process is killed in between, the lease brings it back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import PurePath
from typing import Any

from django.utils import timezone

from apps.runs.errors import RetryableError
from apps.stf import selectors, services
from apps.stf.models import TFSlice

from ..bus.fast_schemas import Slice, SliceContent
from ..bus.slices import send_slices

Send = Callable[[Sequence[dict[str, Any]]], None]


class Dispatcher:
    """Its step is the loop `dispatcher` of the fastproc agent."""

    def __init__(self, send: Send = send_slices) -> None:
        self._send = send

    def step(self) -> bool:
        """Give out what the workers can take.

        Raises:
            RetryableError: the broker does not take them; they are queued again.
        """
        claimed = services.claim_slices(selectors.workers_up().count())
        try:
            self._send([slice_message(one) for one in claimed])
        except RetryableError:
            services.give_back(claimed)
            raise
        return False


def slice_message(one: TFSlice) -> dict[str, Any]:
    """The message `slice`, as JSON, of a claimed slice with its file, sample, STF and run."""
    file, run, now = one.fastmon_file, one.run, timezone.now()
    name = PurePath(file.tf_filename)
    content = SliceContent(
        req_id=one.req_id,
        filename=file.sample.stf.stf_filename,
        tf_filename=f"{name.stem}_slice_{one.slice_id:03d}{name.suffix}",
        slice_id=one.slice_id,
        start=one.tf_first,
        end=one.tf_last,
        tf_count=one.tf_count,
        attempt=one.retries + 1,
        file_url=file.file_url,
        checksum=file.checksum,
        payload=services.fastproc_parameters(run).slice_payload,
    )
    message = Slice.model_validate(
        {
            "run_id": run.run_number,
            "execution_id": run.execution.execution_id,
            "namespace": run.namespace.name,
            "sender": "fastproc",
            "occurred_at": now,
            "timestamp": now.isoformat(),
            "created_at": now.isoformat(),
            "content": content,
        }
    )
    return message.model_dump(mode="json")
