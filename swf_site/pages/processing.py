"""Processing over all runs: what holds it, the sites, PanDA's tasks, and what has failed last."""

from __future__ import annotations

from dataclasses import dataclass

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from apps.runs.selectors import newest_position
from apps.stf.filters import ProcessingTaskFilter
from apps.stf.models import ProcessingTask
from apps.stf.selectors import SiteCounts, brakes_on, site_counts, site_list, task_list
from apps.stf.selectors.progress import OutputCounts, failed_jobs, output_counts

from .access import acting
from .run_processing import Segment, bar

TASKS_PER_PAGE = 25
FAILURES_SHOWN = 20


@dataclass(frozen=True)
class Row:
    """One task of the list."""

    task: ProcessingTask
    counts: SiteCounts
    outputs: OutputCounts

    @property
    def bar(self) -> list[Segment]:
        """How far its STFs are."""
        return bar(self.counts)


def processing_page(request: HttpRequest) -> HttpResponse:
    """`/processing/`: tasks newest first, filtered by `run`, `site` and `status`."""
    position = newest_position()
    chosen = ProcessingTaskFilter(request.GET, task_list())
    page = Paginator(chosen.qs, TASKS_PER_PAGE).get_page(request.GET.get("page"))
    tasks = list(page.object_list)
    runs = list({task.run_id: task.run for task in tasks}.values())
    counts, outputs = site_counts(runs), output_counts(runs)
    query = request.GET.copy()
    query.pop("page", None)
    sites, brakes = list(site_list()), list(brakes_on())
    of_all = next((brake for brake in brakes if brake.run is None), None)
    context = {
        "position": position,
        "page": page,
        "rows": [
            Row(
                task,
                counts.get(task.run_id, {}).get(task.site, SiteCounts()),
                outputs.get(task.run_id, {}).get(task.site, OutputCounts()),
            )
            for task in tasks
        ],
        "query": query.urlencode(),
        "filtered": any(query.values()),
        "chosen": {name: request.GET.get(name, "") for name in ("run", "site", "status")},
        "statuses": task_list()
        .exclude(status="")
        .order_by("status")
        .values_list("status", flat=True)
        .distinct(),
        "sites": sites,
        "of_all": of_all,
        "of_runs": [brake for brake in brakes if brake.run is not None],
        "failures": list(failed_jobs()[:FAILURES_SHOWN]),
        **acting(request),
        "controls_version": f"{of_all and of_all.since}"
        + " ".join(f"{site.name} {site.is_down}" for site in sites),
    }
    return render(request, "processing.html", context)
