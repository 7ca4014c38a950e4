"""What a page of fast monitoring chooses from: windows of time with their histograms, runs to compare with, latencies."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Exists, OuterRef

from apps.runs.errors import NotFound
from apps.runs.models import Run

from ..choices import SampleState
from ..histograms import Histograms, unpack
from ..models import FastMonSample, HistogramWindow
from .fastmon import window_list

NEWEST = "newest"


@dataclass(frozen=True)
class SampleLatency:
    """How long an STF took from its end to its histograms, in seconds."""

    sequence: int
    generated_at: datetime
    seconds: float


def windows_shown(run: Run, *, limit: int) -> list[HistogramWindow]:
    """The newest windows of a run, newest first, without their contents."""
    return list(window_list(run).order_by("-begin_time")[:limit])


def find_window(run: Run, name: str) -> tuple[HistogramWindow, Histograms] | None:
    """A window of a run by when it began (ISO 8601), or its `newest`; None where there is none at all yet.

    Raises:
        NotFound: no window of the run began then.
    """
    windows = HistogramWindow.objects.filter(run=run).order_by("-begin_time")
    if name != NEWEST:
        windows = windows.filter(begin_time=_moment(run, name))
    window = windows.first()
    if window is None and name != NEWEST:
        raise NotFound(f"run {run.run_number} has no window that began at {name}")
    return (window, unpack(bytes(window.contents))) if window else None


def runs_to_compare(run: Run, *, limit: int) -> list[int]:
    """The numbers of earlier runs that have histograms, the newest first."""
    window = HistogramWindow.objects.filter(run=OuterRef("pk"))
    others = Run.objects.filter(Exists(window), run_number__lt=run.run_number)
    return list(others.order_by("-run_number").values_list("run_number", flat=True)[:limit])


def sample_latencies(run: Run, *, limit: int) -> list[SampleLatency]:
    """Those of the STFs that were sampled last, in the order of their sequence."""
    rows = (
        FastMonSample.objects.filter(run=run, state=SampleState.SAMPLED)
        .order_by("-sequence")
        .values_list("sequence", "stf__generated_at", "decided_at")[:limit]
    )
    return [
        SampleLatency(sequence, generated_at, (decided_at - generated_at).total_seconds())
        for sequence, generated_at, decided_at in reversed(rows)
        if decided_at
    ]


def _moment(run: Run, name: str) -> datetime:
    try:
        moment = datetime.fromisoformat(name)
    except ValueError:
        moment = datetime.min  # without a time zone: no moment either
    if moment.tzinfo is None:
        raise NotFound(
            f"window = {name!r} is no window of run {run.run_number}: "
            f"give when it began, as 2026-11-26T12:00:00+00:00, or {NEWEST}"
        )
    return moment
