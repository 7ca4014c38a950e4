"""The list of runs, with the agents and the exit buffer above it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.core.paginator import Page, Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from apps.runs.choices import RunLifecycle
from apps.runs.filters import RunFilter
from apps.runs.models import Namespace, Run
from apps.runs.selectors import expected_stfs, newest_position, run_list
from apps.stf.models import CloseoutProof
from apps.stf.selectors import SiteCounts, StageCounts, counts_of_runs, site_list

from . import overview
from .wording import lacking

RUNS_PER_PAGE = 25


@dataclass(frozen=True)
class Row:
    """One run of the list. `sites` holds the verified copies in the order of the columns, None where not wanted.

    `processing` counts the STFs of all sites together, an STF of two sites twice.
    """

    run: Run
    counts: StageCounts
    expected: int | None
    lacks: str
    sites: list[int | None]
    processing: SiteCounts


def home(request: HttpRequest) -> HttpResponse:
    """`/`: runs, newest first, filtered by `lifecycle` and `namespace`."""
    position = newest_position()
    chosen = RunFilter(request.GET, run_list().select_related("proof", "fast"))
    page = Paginator(chosen.qs, RUNS_PER_PAGE).get_page(request.GET.get("page"))
    rses, rows = _rows(page)
    query = request.GET.copy()
    query.pop("page", None)
    context = {
        "position": position,
        "page": page,
        "rows": rows,
        "rses": rses,
        "query": query.urlencode(),
        "filtered": bool(query),
        "chosen_lifecycles": request.GET.getlist("lifecycle"),
        "chosen_namespace": request.GET.get("namespace", ""),
        "lifecycles": RunLifecycle,
        "namespaces": Namespace.objects.all(),
        "agents": overview.agents(),
        "dead_letters": overview.dead_letter_count(),
        "processing_sites": site_list(),
        "buffer": overview.exit_buffer(rows[0].run if rows else None),
    }
    return render(request, "home.html", context)


def _rows(page: Page[Run]) -> tuple[list[str], list[Row]]:
    """The columns for sites, and the rows. Settled runs are told by their proof, only the others are counted."""
    runs = list(page.object_list)
    counts = counts_of_runs([run for run in runs if not _proof(run)])
    counts |= {run.pk: _counts(proof) for run in runs if (proof := _proof(run))}
    rses = sorted({rse for row in counts.values() for rse in row.verified})
    return rses, [
        Row(
            run=run,
            counts=counts[run.pk],
            expected=expected_stfs(run),
            lacks=lacking(run.proof.missing) if hasattr(run, "proof") and run.proof.missing else "",
            sites=[counts[run.pk].verified.get(rse) for rse in rses],
            processing=_together(counts[run.pk].processing.values()),
        )
        for run in runs
    ]


def _proof(run: Run) -> CloseoutProof | None:
    """The proof of a run of which nothing will change any more."""
    proof: CloseoutProof | None = getattr(run, "proof", None)
    return proof if proof and proof.complete and run.closed_at else None


def _counts(proof: CloseoutProof) -> StageCounts:
    return StageCounts(
        generated=proof.expected,
        registered=proof.registered,
        failed=0,
        verified=proof.verified,
        releasable=0,
        released=proof.expected,
        processing={site: SiteCounts(processed=count) for site, count in proof.processed.items()},
    )


def _together(counts: Iterable[SiteCounts]) -> SiteCounts:
    """The sum over all sites."""
    numbers = [vars(one) for one in counts]
    return SiteCounts(**{name: sum(one[name] for one in numbers) for name in vars(SiteCounts())})
