"""The page of one STF: the file, its copies, and what became of it at each site."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from apps.stf.selectors import stf_list, why_unprocessed
from apps.stf.selectors.progress import stf_processings


def stf_page(request: HttpRequest, run_number: int, sequence: int) -> HttpResponse:
    """`/runs/<number>/stfs/<sequence>/`."""
    stf = stf_list().filter(run__run_number=run_number, sequence=sequence).first()
    if stf is None:
        raise Http404(f"run {run_number} has no STF {sequence}")
    processings = stf_processings(stf)
    why = why_unprocessed(processings)
    context = {
        "run": stf.run,
        "stf": stf,
        "processings": [(processing, why[processing.pk]) for processing in processings],
    }
    return render(request, "stf.html", context)
