"""The page of fast monitoring of a run, what it downloads, and the digest by which it stays up to date."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlencode

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.template.loader import render_to_string

from apps.runs.choices import SETTLED
from apps.runs.errors import NotFound
from apps.runs.live.digest import Digest
from apps.runs.models import Run
from apps.runs.selectors import get_run, newest_position
from apps.stf.choices import BacklogPolicy, SampleState
from apps.stf.fast_parameters import fastmon_parameters
from apps.stf.histograms import BINS, QUANTITIES
from apps.stf.selectors.fast_windows import runs_to_compare, windows_shown

from . import overview
from .access import acting
from .fastmon_content import GROUPS, Gathered, Json, as_content, detectors_of, gather
from .run import hinders

WINDOWS_OFFERED = 100
RUNS_OFFERED = 50
AGENTS = ("fastmon", "fastproc")
PLOTS = (
    *({"key": one.key, "title": one.title} for one in QUANTITIES),
    {"key": "hits_per_tf", "title": "Hits per TF"},
    {"key": "mean_adc", "title": "Mean ADC value"},
)
# The journal's entries that change what the page shows.
KINDS = (
    "run_imminent_worker",
    "end_run",
    "run_closed",
    "tf_file_registered",
    "sample_failed",
    "samples_skipped",
    "slices_created",
    "slicing_skipped",
    "slices_skipped",
    "slice_failed",
    "sample_processed",
    "backlog_policy_changed",
    "dispatching_started",
    "workers_wanted",
    "worker_started",
    "worker_returned",
    "worker_ended",
    "worker_lost",
    "stop_transformer",
    "incident_opened",
    "incident_acknowledged",
    "incident_cleared",
)
CSV_COLUMNS = ("run", "detector", "quantity", "unit", "from", "to", "hits")


def fastmon_page(request: HttpRequest, run_number: int) -> HttpResponse:
    """`/runs/<number>/fastmon/`, of the detectors of a `group`, of a `window`, compared with the run `reference`."""
    position = newest_position()
    chosen = {name: request.GET.get(name, "") for name in ("group", "window", "reference")}
    chosen["group"] = chosen["group"] or GROUPS[0]
    run = _run(run_number)
    gathered = _gathered(run, chosen["group"], chosen["window"])
    page = _parts(gathered) | {
        "position": position,
        "view": chosen,
        "content": as_content(gathered),
        "compared": _compared(chosen["reference"], chosen["group"]),
        "groups": [{"name": name, "query": _query(chosen | {"group": name})} for name in GROUPS],
        "windows": windows_shown(run, limit=WINDOWS_OFFERED),
        "references": [str(number) for number in runs_to_compare(run, limit=RUNS_OFFERED)],
        "plots": PLOTS,
        "number": str(run_number),
        "download": _query({"group": chosen["group"], "window": chosen["window"]}),
        **acting(request, run_number),
        "policies": BacklogPolicy,
    }
    return render(request, "fastmon.html", page)


def fastmon_json(request: HttpRequest, run_number: int) -> HttpResponse:
    """`/runs/<number>/fastmon/data.json`: what the page shows, of the detectors of a `group`, of a `window`."""
    return JsonResponse(as_content(_asked(request, run_number)))


def fastmon_csv(request: HttpRequest, run_number: int) -> HttpResponse:
    """`/runs/<number>/fastmon/data.csv`: the histograms that the page shows, a line per bin."""
    gathered = _asked(request, run_number)
    response = HttpResponse(content_type="text/csv")
    name = f"run-{run_number}-{gathered.group or 'all'}.csv"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    writer = csv.writer(response)
    writer.writerow(CSV_COLUMNS)
    writer.writerows(_bins(gathered))
    return response


def fastmon_digest() -> Digest:
    """The digest behind `/ws/fastmon/runs/<number>/`."""
    return Digest("fastmon", kinds=KINDS, make=fastmon_frame)


def fastmon_frame(run_number: int, query: str) -> Json:
    """What a frame of the WebSocket holds: the JSON of the page, and the parts of it that the server draws.

    Raises:
        NotFound: there is no such run, group or window.
    """
    asked = dict(parse_qsl(query))
    gathered = gather(get_run(run_number), group=asked.get("group", ""), window=asked.get("window", ""))
    return {
        "content": as_content(gathered),
        "parts": render_to_string("fastmon_parts.html", _parts(gathered)),
    }


def _parts(gathered: Gathered) -> dict[str, Any]:
    """What the parts need that are swapped."""
    run = gathered.run
    settled = run.lifecycle in SETTLED
    agents = [row for row in overview.agents() if row.agent.agent_type in AGENTS]
    return {
        "run": run,
        "rate": fastmon_parameters(run).stf_sampling_rate,
        "summary": gathered.summary,
        "not_sampled": gathered.summary.by_state[SampleState.SKIPPED]
        + gathered.summary.by_state[SampleState.FAILED],
        "slices": gathered.slices,
        "incidents": gathered.incidents,
        "waiting": [] if settled else [row for row in agents if hinders(row)],
    }


def _run(run_number: int) -> Run:
    try:
        return get_run(run_number)
    except NotFound as error:
        raise Http404(str(error)) from error


def _gathered(run: Run, group: str, window: str) -> Gathered:
    try:
        return gather(run, group=group, window=window)
    except NotFound as error:
        raise Http404(str(error)) from error


def _asked(request: HttpRequest, run_number: int) -> Gathered:
    return _gathered(_run(run_number), request.GET.get("group", ""), request.GET.get("window", ""))


def _compared(reference: str, group: str) -> Json | None:
    """The run to compare with, if one is chosen."""
    if not reference:
        return None
    if not reference.isdecimal():
        raise Http404(f"reference = {reference!r} is not the number of a run")
    return as_content(_gathered(_run(int(reference)), group, ""))


def _query(chosen: dict[str, str]) -> str:
    return urlencode({name: value for name, value in chosen.items() if value})


def _bins(gathered: Gathered) -> Iterator[tuple[object, ...]]:
    counts = gathered.shown.histograms.counts
    for detector in detectors_of(gathered.group):
        for row, one in enumerate(QUANTITIES):
            width = one.upper[detector.number] / BINS
            for nth, count in enumerate(counts[row][detector.number].tolist()):
                edges = nth * width, (nth + 1) * width
                yield gathered.run.run_number, detector.name, one.key, one.unit, *edges, count
