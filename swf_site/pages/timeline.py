"""The timeline of a run: what matters line by line, what is said of every STF as counts per step of time."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby

from django.utils import timezone

from apps.runs.models import Run
from apps.runs.selectors import KindCount, journal_counts, run_timeline

from .wording import FAILURES, STAGE_OF_KIND, UNSAID, Tone, in_words

MOST_LINES = 300
# Counts per step: the finest that keeps a run of this length readable.
_STEPS = [timedelta(seconds=seconds) for seconds in (5, 30, 300, 1800)]
_READABLE_STEPS = 120


@dataclass(frozen=True)
class Line:
    """One line. `counts` holds (stage, number) and is empty where the line is a sentence of its own."""

    at: datetime
    tone: Tone
    text: str
    actor: str = ""
    counts: list[tuple[str, int]] = field(default_factory=list)


def timeline(run: Run) -> list[Line]:
    """The newest lines of a run, newest first; two queries."""
    counted = (*STAGE_OF_KIND, *FAILURES)
    entries = run_timeline(run, leave_out=(*counted, *UNSAID)).order_by("-id")[:MOST_LINES]
    lines = []
    for entry in entries:
        tone, text = in_words(entry.kind, entry.subject, entry.payload)
        lines.append(Line(entry.occurred_at, tone, text, entry.actor))
    counts = journal_counts(run, counted, every=_step(run))
    for _, in_step in groupby(counts, key=lambda count: count.step):
        lines += _lines_of_step(list(in_step))
    return sorted(lines, key=lambda line: line.at, reverse=True)[:MOST_LINES]


def _lines_of_step(counts: list[KindCount]) -> list[Line]:
    lines = [_failures(count) for count in counts if count.kind in FAILURES]
    stages = [
        (_stage(count), count.count) for kind in STAGE_OF_KIND for count in counts if count.kind == kind
    ]
    if not stages:
        return lines
    last = max(count.last for count in counts if count.kind in STAGE_OF_KIND)
    return [*lines, Line(last, "quiet", "", counts=stages)]


def _stage(count: KindCount) -> str:
    """The stage's label with its site; that of a copy is its site alone."""
    if count.kind == "stf_replicated" and count.rse:
        return count.rse
    return f"{STAGE_OF_KIND[count.kind]} {count.rse or ''}".strip()


def _failures(count: KindCount) -> Line:
    payload = {"reason": count.reason or "", "rse": count.rse or "", "site": count.rse or ""}
    what = {"job_failed": "jobs", "output_missing": "files", "slice_failed": "slices"}.get(count.kind, "STFs")
    subject = count.first_subject if count.count == 1 else f"{count.count} {what}"
    tone, text = in_words(count.kind, subject, payload)
    return Line(count.last, tone, text)


def _step(run: Run) -> timedelta:
    length = (run.closed_at or timezone.now()) - run.requested_at
    return next((step for step in _STEPS if length / step <= _READABLE_STEPS), _STEPS[-1])
