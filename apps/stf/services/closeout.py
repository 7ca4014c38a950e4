"""The proof at the end of a run: every STF accounted for, or exactly what is missing and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

from django.db.models import Max, Prefetch, Q
from django.utils import timezone

from apps.runs import journal
from apps.runs import services as runs_services
from apps.runs.choices import AWAITING_CLOSEOUT, SETTLED, RunLifecycle
from apps.runs.errors import DomainError
from apps.runs.models import Run
from apps.runs.selectors import get_run

from ..choices import BufferState, Registration, ReplicaState
from ..models import CloseoutProof, ProcessingJob, ProcessingOutput, Replica, StfFile, StfProcessing
from ..selectors import Unprocessed, site_counts, unprocessed
from .registration import retry_failed


@dataclass(frozen=True)
class Missing:
    """One STF that is not safe. `kind` is one of: not sent, not registered, unexpected, registered but gone, not
    verified, not processed."""

    sequence: int
    kind: str
    reason: str
    filename: str = ""


def evaluate(run: Run) -> CloseoutProof:
    """Prove an ended run, store the answer, and give the run its verdict.

    A complete run is closed at once. One with holes is called incomplete after `closeout.hole_wait_seconds` without any
    progress; it is asked again until the holes are filled.

    Raises:
        DomainError: the run has not ended, so nothing can be complete yet.
    """
    if run.expected_stf_count is None:
        raise DomainError(f"run {run.run_number} is {run.lifecycle}: the number of its STFs is not known yet")
    proof = _prove(run, expected=run.expected_stf_count)
    if proof.complete:
        verdict = RunLifecycle.ABORTED if run.abort_reason else RunLifecycle.CLOSED
        runs_services.close(run.run_number, verdict=verdict, proof=proof.as_message())
    elif run.lifecycle in AWAITING_CLOSEOUT and timezone.now() >= _patience_ends(run):
        runs_services.close(run.run_number, verdict=RunLifecycle.INCOMPLETE, proof=proof.as_message())
    return proof


def force_close(run_number: int, *, by: str, reason: str) -> Run:
    """Close an incomplete run by a person's decision; the proof keeps the list of what is missing.

    Raises:
        DomainError: without name or reason, or when the run has not ended or is closed.
    """
    run = get_run(run_number)
    proof = _prove(run, expected=run.expected_stf_count or 0).as_message() if run.end_time else {}
    return runs_services.force_close(run_number, by=by, reason=reason, proof=proof)


def reevaluate(run_number: int, *, by: str, reason: str = "") -> Run:
    """Have everything of a run that has failed or waits judged again now: what failed is tried again, and a run that has
    ended is proved anew.

    Raises:
        NotFound: there is no such run.
        DomainError: the run is settled.
    """
    run = get_run(run_number)
    if run.lifecycle in SETTLED:
        raise DomainError(f"run {run_number} is {run.lifecycle}: there is nothing left to be judged")
    retry_failed(run, by=by, reason=reason)
    if run.lifecycle in AWAITING_CLOSEOUT:
        with journal.on_behalf_of(by):
            evaluate(run)
    return get_run(run_number)


def _prove(run: Run, *, expected: int) -> CloseoutProof:
    unverified = Prefetch(
        "replicas", Replica.objects.exclude(state=ReplicaState.VERIFIED), to_attr="unverified"
    )
    missing: list[Missing] = []
    # Everything that is not wholly safe is looked at one by one; the safe ones are only counted.
    safe = Q(registration=Registration.REGISTERED, sequence__lte=expected) & ~Q(buffer=BufferState.HELD)
    present = set(run.stf_files.filter(safe).values_list("sequence", flat=True))
    registered = len(present)
    for stf in run.stf_files.exclude(safe).prefetch_related(unverified):
        present.add(stf.sequence)
        registered += stf.registration == Registration.REGISTERED
        if found := _what_is_wrong(stf, expected):
            missing.append(found)
    missing += [
        Missing(sequence, "not sent", "the DAQ counted it, no stf_gen has arrived")
        for sequence in range(1, expected + 1)
        if sequence not in present
    ]
    listed = {item.sequence for item in missing}
    missing += _not_processed(unprocessed(run, last=expected), leave_out=listed)
    missing.sort(key=lambda item: item.sequence)
    verified = Counter(
        Replica.objects.filter(stf__run=run, state=ReplicaState.VERIFIED).values_list("rse", flat=True)
    )
    values: dict[str, Any] = {
        "complete": not missing,
        "expected": expected,
        "registered": registered,
        "verified": {rse: verified[rse] for rse in run.parameters["replication"]["rses"]},
        "processed": {site: counts.processed for site, counts in site_counts([run]).get(run.pk, {}).items()},
        "outputs": ProcessingOutput.objects.filter(job__task__run=run, registered_at__isnull=False).count(),
        "missing": [item.__dict__ for item in missing],
        "evaluated_at": timezone.now(),
    }
    return CloseoutProof.objects.update_or_create(run=run, defaults=values)[0]


def _what_is_wrong(stf: StfFile, expected: int) -> Missing | None:
    if stf.sequence > expected:
        return Missing(stf.sequence, "unexpected", f"end_run announced {expected} STFs", stf.stf_filename)
    if stf.registration != Registration.REGISTERED:
        reason = stf.registration_reason or "waits for registration in Rucio"
        return Missing(stf.sequence, "not registered", reason, stf.stf_filename)
    unverified: list[Replica] = stf.unverified  # type: ignore[attr-defined]
    if not unverified:
        return None
    if not Path(stf.file_url).exists():
        return Missing(
            stf.sequence,
            "registered but gone",
            f"{stf.file_url} has left the exit buffer before its copies were verified",
            stf.stf_filename,
        )
    reason = "; ".join(f"{r.rse}: {r.reason or r.get_state_display().lower()}" for r in unverified)
    return Missing(stf.sequence, "not verified", reason, stf.stf_filename)


def _not_processed(left: Sequence[Unprocessed], *, leave_out: set[int]) -> list[Missing]:
    """One entry per STF, with the reasons of all its sites; what is not even safe is listed as that."""
    by_sequence = groupby(left, key=lambda one: (one.sequence, one.filename))
    return [
        Missing(sequence, "not processed", "; ".join(f"{one.site}: {one.reason}" for one in those), filename)
        for (sequence, filename), those in by_sequence
        if sequence not in leave_out
    ]


def _patience_ends(run: Run) -> datetime:
    """When holes stop being waited for: so long after the last progress."""
    last = StfFile.objects.filter(run=run).aggregate(
        generated=Max("generated_at"), registered=Max("registered_at"), verified=Max("replicas__verified_at")
    )
    processing = StfProcessing.objects.filter(run=run).aggregate(moved=Max("changed_at"))
    jobs = ProcessingJob.objects.filter(task__run=run).aggregate(
        changed=Max("changed_at"), registered=Max("outputs__registered_at")
    )
    seen = (run.end_time, *last.values(), *processing.values(), *jobs.values())
    moments: list[datetime] = [when for when in seen if when is not None]
    patience = timedelta(seconds=run.parameters["closeout"]["hole_wait_seconds"])
    return max(moments) + patience
