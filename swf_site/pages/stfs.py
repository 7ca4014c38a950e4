"""The STFs of a run as a table: what the map on the run page draws, for reading and searching."""

from __future__ import annotations

from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from apps.runs.errors import NotFound
from apps.runs.selectors import get_run
from apps.stf.choices import BufferState, Registration
from apps.stf.filters import StfFilter
from apps.stf.models import Replica, StfFile
from apps.stf.selectors import stf_list

STFS_PER_PAGE = 100


def stfs_page(request: HttpRequest, run_number: int) -> HttpResponse:
    """`/runs/<number>/stfs/`, filtered by `registration`, `buffer` and `sequence`."""
    try:
        run = get_run(run_number)
    except NotFound as error:
        raise Http404(str(error)) from error
    chosen = StfFilter(request.GET, stf_list().filter(run=run).order_by("sequence"))
    page = Paginator(chosen.qs, STFS_PER_PAGE).get_page(request.GET.get("page"))
    rses = list(run.parameters["replication"]["rses"])
    query = request.GET.copy()
    query.pop("page", None)
    context = {
        "run": run,
        "page": page,
        "rses": rses,
        "rows": [(stf, _copies_in_order(stf, rses)) for stf in page.object_list],
        "query": query.urlencode(),
        "filtered": bool(query),
        "registrations": Registration,
        "buffers": BufferState,
        "chosen": {name: request.GET.get(name, "") for name in ("registration", "buffer", "sequence")},
    }
    return render(request, "stfs.html", context)


def _copies_in_order(stf: StfFile, rses: list[str]) -> list[Replica | None]:
    copies = {replica.rse: replica for replica in stf.replicas.all()}
    return [copies.get(rse) for rse in rses]
