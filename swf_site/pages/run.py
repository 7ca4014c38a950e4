"""The page of one run: what state it is in, how its STFs flow, what happened, and whether all is safe."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from apps.agents.choices import AgentStatus
from apps.runs.choices import AWAITING_CLOSEOUT, SETTLED, TAKING_DATA, RunLifecycle
from apps.runs.errors import NotFound
from apps.runs.models import Run
from apps.runs.selectors import get_run, newest_position
from apps.runs.services import is_visiting
from apps.stf.models import CloseoutProof, Dataset
from apps.stf.selectors import has_failed
from apps.stf.selectors.slices import fast_run_of

from . import overview
from .access import acting
from .run_processing import processing_parts
from .run_state import PROCESSED, pipeline, run_state
from .timeline import timeline
from .wording import lacking

MOST_MISSING_SHOWN = 100


def run_page(request: HttpRequest, run_number: int) -> HttpResponse:
    """`/runs/<number>/`."""
    position = newest_position()
    run = _run(run_number)
    state = run_state(run)
    stages = pipeline(state)
    idle = not any(stage["rate_60"] for stage in stages)
    moving = {
        "position": position,
        "state": state,
        "pipeline": stages,
        "archiving": [stage for stage in stages if stage["kind"] != PROCESSED],
        "processing": [stage for stage in stages if stage["kind"] == PROCESSED],
        "idle": idle,
    }
    return render(request, "run.html", _parts(request, run) | moving)


def run_parts(request: HttpRequest, run_number: int) -> HttpResponse:
    """`/runs/<number>/parts/`: the slow parts of the page alone, fetched again when the journal has news of them."""
    return render(request, "run_parts.html", _parts(request, _run(run_number)))


def _run(run_number: int) -> Run:
    try:
        return get_run(run_number)
    except NotFound as error:
        raise Http404(str(error)) from error


def _parts(request: HttpRequest, run: Run) -> dict[str, object]:
    proof = CloseoutProof.objects.filter(run=run).first()
    settled = run.lifecycle in SETTLED
    processing = processing_parts(run)
    return processing | {
        "run": run,
        "dataset": Dataset.objects.filter(run=run).first(),
        "fast": fast_run_of(run),
        "proof": proof,
        "lacks": lacking(proof.missing) if proof else "",
        "missing": proof.missing[:MOST_MISSING_SHOWN] if proof else [],
        "waiting": [] if settled else [row for row in overview.agents() if hinders(row)],
        "timeline": timeline(run),
        **acting(request, run.run_number),
        "may_control": run.lifecycle in TAKING_DATA and not is_visiting(run),
        "paused": run.lifecycle == RunLifecycle.PAUSED,
        "may_retry": not settled and (has_failed(run) or processing["has_failed"]),
        "may_force": run.lifecycle in AWAITING_CLOSEOUT,
        "settled": settled,
    }


def hinders(row: overview.AgentView) -> bool:
    """Whether an agent is silent or waits for something."""
    return row.colour == "red" or row.agent.status != AgentStatus.OK
