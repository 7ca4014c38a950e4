"""All that fast monitoring shows of a run, as one JSON object: in the page, its WebSocket and over REST."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from apps.agents.models import Incident
from apps.agents.selectors import current_incidents
from apps.runs.errors import NotFound
from apps.runs.models import Run
from apps.stf.container.detectors import DETECTORS, Detector
from apps.stf.histograms import QUANTITIES, Histograms
from apps.stf.models import HistogramWindow
from apps.stf.selectors.fast_windows import SampleLatency, find_window, sample_latencies
from apps.stf.selectors.fastmon import FastMonSummary, fastmon_summary
from apps.stf.selectors.run_histograms import StripPoint, run_histograms, strip_chart

from .fastmon_slices import SlicesView, slices_content, slices_view

GROUPS = tuple(dict.fromkeys(detector.group for detector in DETECTORS))
# Of the newest so many: what one looks at while data comes; older ones are in the sum.
STRIP_WINDOWS = 360
LATENCIES = 300
INCIDENTS = 20
DIGITS = 5

Json = dict[str, Any]


@dataclass(frozen=True)
class Shown:
    """The histograms that are shown, with what they are of. `window` is None for those of the whole run."""

    histograms: Histograms
    stf_count: int
    tf_count: int
    window: HistogramWindow | None = None


@dataclass(frozen=True)
class Gathered:
    """What was read of a run, for its JSON and for the parts of its page that are drawn by the server."""

    run: Run
    group: str
    summary: FastMonSummary
    shown: Shown
    points: Sequence[StripPoint]
    latencies: Sequence[SampleLatency]
    slices: SlicesView
    incidents: Sequence[Incident]


def gather(run: Run, *, group: str = "", window: str = "") -> Gathered:
    """Read what fast monitoring shows of a run, in a constant number of queries.

    Args:
        group: of which detectors; left out, of all.
        window: when the window of time began whose histograms are shown, or `newest`; left out, those of the run.

    Raises:
        NotFound: there is no such group or window.
    """
    detectors_of(group)
    # First: what it counts as sampled is in the histograms that are read after it.
    summary = fastmon_summary(run)
    points = strip_chart(run)
    return Gathered(
        run=run,
        group=group,
        summary=summary,
        shown=_shown(run, window, points),
        points=points[-STRIP_WINDOWS:],
        latencies=sample_latencies(run, limit=LATENCIES),
        slices=slices_view(run),
        incidents=list(current_incidents().filter(run=run)[:INCIDENTS]),
    )


def as_content(gathered: Gathered) -> Json:
    """What was read, as JSON."""
    shown = gathered.shown
    return {
        "run_number": gathered.run.run_number,
        "group": gathered.group,
        "window": shown.window.begin_time.isoformat() if shown.window else None,
        "stf_count": shown.stf_count,
        "tf_count": shown.tf_count,
        "hits": shown.histograms.hits,
        "summary": summary_content(gathered.summary),
        "quantities": [{"key": one.key, "title": one.title, "unit": one.unit} for one in QUANTITIES],
        "detectors": [_detector(one, shown, gathered.points) for one in detectors_of(gathered.group)],
        "times": [point.begin_time.timestamp() for point in gathered.points],
        "latency": _latency(gathered.latencies),
        "slices": slices_content(gathered.slices),
        "incidents": [_incident(one) for one in gathered.incidents],
    }


def detectors_of(group: str) -> list[Detector]:
    """The detectors of a group in the order of their numbers; all, if none is named.

    Raises:
        NotFound: there is no such group.
    """
    if group and group not in GROUPS:
        raise NotFound(f"there is no group of detectors {group!r}; there are {', '.join(GROUPS)}")
    return [detector for detector in DETECTORS if group in ("", detector.group)]


def summary_content(summary: FastMonSummary) -> Json:
    """Samples by state, and what was read and found in them."""
    return {
        **{str(state): count for state, count in summary.by_state.items()},
        "tfs": summary.tfs,
        "hits": summary.hits,
        "files": summary.files,
        "corrupt_tfs": summary.corrupt_tfs,
        "bytes_read": summary.bytes_read,
        "bytes_of_stfs": summary.bytes_of_stfs,
        "requests": summary.requests,
        "latency_p50": _rounded(summary.latency_p50),
        "latency_p95": _rounded(summary.latency_p95),
        "last_reasons": [
            {
                "sequence": one.sequence,
                "state": str(one.state),
                "reason": one.reason,
                "decided_at": one.decided_at.isoformat(),
            }
            for one in summary.last_reasons
        ],
    }


def _shown(run: Run, window: str, points: Sequence[StripPoint]) -> Shown:
    if not window:
        return Shown(
            run_histograms(run),
            sum(point.stf_count for point in points),
            sum(point.tf_count for point in points),
        )
    found = find_window(run, window)
    if found is None:
        return Shown(Histograms.empty(), 0, 0)
    row, histograms = found
    return Shown(histograms, row.stf_count, row.tf_count, row)


def _detector(detector: Detector, shown: Shown, points: Sequence[StripPoint]) -> Json:
    nth, histograms = detector.number, shown.histograms
    hits = int(histograms.entries[nth])
    means = histograms.means
    return {
        "name": detector.name,
        "number": nth,
        "group": detector.group,
        "hits": hits,
        "hits_per_tf": _rounded(hits / shown.tf_count) if shown.tf_count else None,
        "means": {one.key: _rounded(float(means[row][nth])) for row, one in enumerate(QUANTITIES)},
        "histograms": {
            one.key: {"upper": one.upper[nth], "counts": histograms.counts[row][nth].tolist()}
            for row, one in enumerate(QUANTITIES)
        },
        "strip": {
            "hits_per_tf": [_rounded(float(point.hits_per_tf[nth])) for point in points],
            "mean_adc": [_rounded(float(point.mean_adc[nth])) for point in points],
        },
    }


def _incident(incident: Incident) -> Json:
    return {
        "id": incident.pk,
        "kind": incident.kind,
        "subject": incident.subject,
        "state": incident.state,
        "reason": incident.reason,
        "opened_at": incident.opened_at.isoformat(),
    }


def _latency(latencies: Sequence[SampleLatency]) -> Json:
    return {
        "sequences": [one.sequence for one in latencies],
        "times": [one.generated_at.timestamp() for one in latencies],
        "seconds": [round(one.seconds, 3) for one in latencies],
    }


def _rounded(number: float | None) -> float | None:
    """With as many digits as a plot can show; None where there is no number."""
    if number is None or not isfinite(number):
        return None
    return float(f"{number:.{DIGITS}g}")
