"""What a token of one namespace is good for: rows of that namespace, and nothing that has none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.db.models import Model, QuerySet
from rest_framework.filters import BaseFilterBackend
from rest_framework.request import Request

from apps.agents.models import ApiToken, Incident
from apps.runs.access import NO_NAMESPACE, Right
from apps.runs.models import JournalEntry, Namespace, Run, WorkflowExecution
from apps.stf.models import (
    Brake,
    Dataset,
    DecisionBox,
    FastMonFile,
    FastMonSample,
    ProcessingJob,
    ProcessingOutput,
    ProcessingTask,
    Replica,
    StfFile,
    StfProcessing,
    TFSlice,
    Worker,
    WorkerTask,
)

from .bodies import named_by, namespaces_named, namespaces_to_claim_in

# How to come from a row to its namespace. Rows of other models have none.
PATHS: dict[type[Model], str] = {
    Namespace: "pk",
    Run: "namespace",
    WorkflowExecution: "namespace",
    JournalEntry: "namespace",
    StfFile: "run__namespace",
    Dataset: "run__namespace",
    Replica: "stf__run__namespace",
    DecisionBox: "run__namespace",
    Brake: "run__namespace",
    ProcessingTask: "run__namespace",
    ProcessingJob: "task__run__namespace",
    StfProcessing: "run__namespace",
    ProcessingOutput: "job__task__run__namespace",
    FastMonSample: "run__namespace",
    FastMonFile: "sample__run__namespace",
    TFSlice: "run__namespace",
    Worker: "namespace",
    WorkerTask: "run__namespace",
    Incident: "run__namespace",
}


class WithinNamespace(BaseFilterBackend):
    """Keeps lists, and what is looked up in them, to the namespace of the token."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: Any) -> QuerySet[Any]:
        token = request.auth
        if not isinstance(token, ApiToken) or token.namespace_id is None:
            return queryset
        return queryset.filter(**{PATHS[queryset.model]: token.namespace_id})


def places_of(request: Request, view: Any, right: Right) -> Iterator[str]:
    """The namespaces of what is asked for, as `apps.runs.access` takes them; looked up as soon as it asks for the first.

    None for lists, and rows looked up in them, that `WithinNamespace` keeps to the namespace of the token; none either
    for what is not there, which the view says itself.
    """
    model = getattr(getattr(view, "queryset", None), "model", None)
    if model in PATHS and right == Right.READ:
        return
    if model in PATHS and getattr(view, "detail", False):
        yield from _of_a_row(view, model)
    elif model in PATHS and right == Right.REPORT:
        yield from _of_new_rows(request, view)
    elif getattr(view, "in_named_namespace", False):
        yield named_by(request.data, "namespace") or settings.SWF_NAMESPACE
    elif "run_number" in view.kwargs:
        yield from namespaces_of_run(view.kwargs["run_number"])
    else:
        yield NO_NAMESPACE


def namespaces_of_run(run_number: int) -> list[str]:
    """The one namespace of a run; none if there is no such run."""
    return list(Run.objects.filter(run_number=run_number).values_list("namespace__name", flat=True))


def _of_a_row(view: Any, model: type[Model]) -> list[str]:
    """Of the row of this address. Actions need not look it up in the filtered list."""
    lookup = {view.lookup_field: view.kwargs.get(view.lookup_url_kwarg or view.lookup_field)}
    path = "name" if model is Namespace else f"{PATHS[model]}__name"
    names = view.get_queryset().filter(**lookup).values_list(path, flat=True)
    return [name or NO_NAMESPACE for name in names]


def _of_new_rows(request: Request, view: Any) -> list[str]:
    if view.action == "claim":
        return namespaces_to_claim_in(request)
    if view.action == "ensure":
        name = named_by(request.data, "name")
        return [name] if name else []
    return namespaces_named(request)
