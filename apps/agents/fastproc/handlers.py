"""What messages mean to the fastproc agent. Results and heartbeats are written down here; the loops do the rest."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from django.conf import settings

from apps.runs.errors import NotFound, RetryableError
from apps.runs.journal import Cause, acting_as
from apps.runs.selectors import get_run
from apps.stf import services
from apps.stf.choices import WorkerStatus

from ..bus import fast_schemas, schemas
from ..bus.schemas import Message
from .results import report_of

log = logging.getLogger(__name__)

# Of this process: results that came for slices that were through.
_ignored = 0


def counters() -> dict[str, int]:
    """What this agent counts beside its messages and steps."""
    return {"results_ignored": _ignored}


def run_is_imminent(message: schemas.RunImminent) -> None:
    """Whoever starts workers is told how many the run may want.

    Raises:
        RetryableError: the run of another DAQ has not been taken over yet.
    """
    try:
        run = get_run(message.run_number)
    except NotFound as error:
        raise RetryableError(str(error)) from error
    services.announce_workers(run)


def tf_file_is_registered(message: fast_schemas.TfFileRegistered) -> None:
    """A sample waits for being cut: whoever made it wrote that down."""


def run_has_ended(message: schemas.EndRun) -> None:
    """No further STF comes: the workers will go when no slice is left."""


def slice_is_processed(message: fast_schemas.SliceResult) -> None:
    """A worker has processed a slice, or could not.

    Raises:
        NotFound: there is no such slice.
        DomainError: it does not say which slice.
    """
    _record([message])


def slices_are_processed(messages: Sequence[fast_schemas.SliceResult], causes: Sequence[Cause]) -> None:
    """Several slices are processed.

    Raises:
        DomainError: as `slice_is_processed`, of any of them.
    """
    with acting_as(causes[0].actor):  # what follows may be due to any of them
        _record(messages)


def worker_is_there(message: fast_schemas.WorkerHeartbeat) -> None:
    """A worker says how it is."""
    services.record_heartbeats([_beat(message)])


def workers_are_there(messages: Sequence[fast_schemas.WorkerHeartbeat], causes: Sequence[Cause]) -> None:
    """Several workers say how they are, or one several times."""
    with acting_as(causes[0].actor):
        services.record_heartbeats([_beat(message) for message in messages])


def lock_runs(messages: Sequence[Message]) -> None:
    """Lock the runs of all slices that these messages speak of.

    Raises:
        DomainError: one of them does not say which slice it is about.
    """
    results = [report_of(one).req_id for one in messages if isinstance(one, fast_schemas.SliceResult)]
    beats = [one.req_id for one in messages if isinstance(one, fast_schemas.WorkerHeartbeat) and one.req_id]
    services.lock_runs_of(results + beats)


def _record(messages: Sequence[fast_schemas.SliceResult]) -> None:
    global _ignored
    ignored = services.record_results([report_of(message) for message in messages])
    _ignored += len(ignored)
    for why in ignored:
        log.info("slice_result ignored: %s", why)


def _beat(message: fast_schemas.WorkerHeartbeat) -> services.Beat:
    return services.Beat(
        worker_id=message.worker_id,
        status=WorkerStatus(message.status),
        location=message.hostname,
        pid=message.pid,
        panda_id=message.panda_id,
        req_id=message.req_id,
        attempt=message.attempt,
        slices_completed=message.slices_completed,
        slices_failed=message.slices_failed,
        started_at=message.started_at,
        reason=message.reason,
        namespace=settings.SWF_NAMESPACE,
    )
