"""The STFs of a run as a table: what the map on the run page draws, for reading and searching."""

from __future__ import annotations

from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from apps.runs.errors import NotFound
from apps.runs.selectors import get_run
from apps.stf.choices import BufferState, ProcessingState, Registration
from apps.stf.filters import StfFilter
from apps.stf.models import Replica, StfFile, StfProcessing
from apps.stf.selectors import site_counts, stf_list
from apps.stf.selectors.progress import box_of, sites_in_use

STFS_PER_PAGE = 100
FILTERS = ("registration", "buffer", "processing", "sequence")


def stfs_page(request: HttpRequest, run_number: int) -> HttpResponse:
    """`/runs/<number>/stfs/`, filtered by `registration`, `buffer`, `processing` and `sequence`."""
    try:
        run = get_run(run_number)
    except NotFound as error:
        raise Http404(str(error)) from error
    chosen = StfFilter(
        request.GET, stf_list().prefetch_related("processings").filter(run=run).order_by("sequence")
    )
    page = Paginator(chosen.qs, STFS_PER_PAGE).get_page(request.GET.get("page"))
    rses = list(run.parameters["replication"]["rses"])
    sites = sites_in_use(box_of(run), site_counts([run]).get(run.pk, {}))
    query = request.GET.copy()
    query.pop("page", None)
    context = {
        "run": run,
        "page": page,
        "rses": rses,
        "sites": sites,
        "rows": [
            (stf, _copies_in_order(stf, rses), _processings_in_order(stf, sites)) for stf in page.object_list
        ],
        "query": query.urlencode(),
        "filtered": bool(query),
        "registrations": Registration,
        "buffers": BufferState,
        "processing_states": ProcessingState,
        "chosen": {name: request.GET.get(name, "") for name in FILTERS},
    }
    return render(request, "stfs.html", context)


def _copies_in_order(stf: StfFile, rses: list[str]) -> list[Replica | None]:
    copies = {replica.rse: replica for replica in stf.replicas.all()}
    return [copies.get(rse) for rse in rses]


def _processings_in_order(stf: StfFile, sites: list[str]) -> list[StfProcessing | None]:
    places = {processing.site: processing for processing in stf.processings.all()}
    return [places.get(site) for site in sites]
