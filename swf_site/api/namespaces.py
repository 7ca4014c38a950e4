"""What a token of one namespace is good for: rows of that namespace, and nothing that has none."""

from __future__ import annotations

from typing import Any

from django.db.models import Model, QuerySet
from rest_framework.filters import BaseFilterBackend
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request

from apps.agents.access import NotAllowed
from apps.agents.models import ApiToken, Incident
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
    WorkerTask,
)

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


def check_view(request: Request, token: ApiToken) -> None:
    """Go on if the address is one that a token of its namespace may use.

    Raises:
        NotAllowed: what is there belongs to no namespace; or it is to be changed, and is not of this one.
    """
    if token.namespace is None:
        return
    view: Any = request.parser_context["view"]
    model = getattr(getattr(view, "queryset", None), "model", None)
    if request.method in SAFE_METHODS:
        allowed = model in PATHS or _is_of_a_run(view, token)
    else:
        allowed = model in PATHS and _is_of_a_row(view, model, token)
    if not allowed:
        raise NotAllowed(
            f"this token is good for the namespace {token.namespace} only; this is of another, or of none"
        )


def _is_of_a_run(view: Any, token: ApiToken) -> bool:
    """Whether the address is below that of a run of the namespace."""
    runs = Run.objects.filter(namespace=token.namespace, run_number=view.kwargs.get("run_number"))
    return "run_number" in view.kwargs and runs.exists()


def _is_of_a_row(view: Any, model: type[Model], token: ApiToken) -> bool:
    """Whether the address is that of a row of the namespace. Actions need not look it up in the filtered list."""
    lookup = view.lookup_url_kwarg or view.lookup_field
    row = {PATHS[model]: token.namespace, view.lookup_field: view.kwargs.get(lookup)}
    return bool(view.detail) and view.get_queryset().filter(**row).exists()
