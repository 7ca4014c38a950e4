"""What runs and their journal can be searched by: the same words in page addresses and over REST."""

from __future__ import annotations

from decimal import Decimal

from django.db.models import Q, QuerySet, Subquery
from django_filters import rest_framework as filters

from .choices import STATUS_OF_LIFECYCLE, ExecutionStatus, RunLifecycle
from .core_states import CoreState, CoreSubstate
from .models import STATE_EVENT, JournalEntry, Namespace, Run, WorkflowDefinition, WorkflowExecution


def shown(states: type[CoreState] | type[CoreSubstate]) -> list[tuple[str, str]]:
    """These states as choices of a filter."""
    return [(state.value, state.label) for state in states]


def of_run(entries: QuerySet[JournalEntry], number: Decimal) -> QuerySet[JournalEntry]:
    """Those of a run. Its key is asked for apart: joined, PostgreSQL would go through all entries to find a run's."""
    return entries.filter(run=Subquery(Run.objects.filter(run_number=int(number)).values("pk")))


class RunFilter(filters.FilterSet):
    run_number = filters.NumberFilter()
    lifecycle = filters.MultipleChoiceFilter(choices=RunLifecycle.choices)
    namespace = filters.ModelChoiceFilter(queryset=Namespace.objects.all(), to_field_name="name")
    state = filters.MultipleChoiceFilter(choices=shown(CoreState))
    requested_by = filters.CharFilter(field_name="execution__executed_by")
    requested_after = filters.IsoDateTimeFilter(field_name="requested_at", lookup_expr="gte")
    requested_before = filters.IsoDateTimeFilter(field_name="requested_at", lookup_expr="lt")

    class Meta:
        model = Run
        fields = [
            "run_number",
            "lifecycle",
            "namespace",
            "state",
            "requested_by",
            "requested_after",
            "requested_before",
        ]


class JournalFilter(filters.FilterSet):
    """`after` is a cursor: entries whose position is higher, the next first."""

    after = filters.NumberFilter(field_name="position", lookup_expr="gt")
    run = filters.NumberFilter(method="of_run")
    kind = filters.CharFilter()
    actor = filters.CharFilter()
    subject = filters.CharFilter()

    class Meta:
        model = JournalEntry
        fields = ["after", "run", "kind", "actor", "subject"]

    def of_run(self, entries: QuerySet[JournalEntry], name: str, number: Decimal) -> QuerySet[JournalEntry]:
        return of_run(entries, number)


class DefinitionFilter(filters.FilterSet):
    """`version` is what the author calls it, or the number."""

    version = filters.CharFilter(method="of_version")

    class Meta:
        model = WorkflowDefinition
        fields = ["workflow_name", "version", "workflow_type", "created_by"]

    def of_version(
        self, definitions: QuerySet[WorkflowDefinition], name: str, version: str
    ) -> QuerySet[WorkflowDefinition]:
        which = Q(declared_version=version)
        if version.isdecimal() and len(version) < 10:
            which |= Q(declared_version="", version=int(version))
        return definitions.filter(which)


class ExecutionFilter(filters.FilterSet):
    namespace = filters.CharFilter(field_name="namespace__name")
    workflow_name = filters.CharFilter(field_name="workflow_definition__workflow_name")
    run_number = filters.NumberFilter(field_name="run__run_number")
    status = filters.ChoiceFilter(choices=ExecutionStatus.choices, method="of_status")

    class Meta:
        model = WorkflowExecution
        fields = ["execution_id", "namespace", "workflow_name", "run_number", "status", "executed_by"]

    def of_status(
        self, executions: QuerySet[WorkflowExecution], name: str, status: str
    ) -> QuerySet[WorkflowExecution]:
        lifecycles = [lifecycle for lifecycle, word in STATUS_OF_LIFECYCLE.items() if word == status]
        return executions.filter(
            Q(declared_status=status) | Q(declared_status="", run__lifecycle__in=lifecycles)
        )


class StateEventFilter(filters.FilterSet):
    """`event_type` is what an agent called the event, or the kind of a change."""

    run_number = filters.NumberFilter(method="of_run")
    event_type = filters.CharFilter(method="of_type")
    state = filters.CharFilter(field_name="payload__state")
    substate = filters.CharFilter(field_name="payload__substate")
    after = filters.IsoDateTimeFilter(field_name="occurred_at", lookup_expr="gte")
    before = filters.IsoDateTimeFilter(field_name="occurred_at", lookup_expr="lt")

    class Meta:
        model = JournalEntry
        fields = ["run_number", "event_type", "state", "substate", "after", "before"]

    def of_run(self, entries: QuerySet[JournalEntry], name: str, number: Decimal) -> QuerySet[JournalEntry]:
        return entries.filter(
            Q(run__run_number=number) | Q(run__isnull=True, payload__run_number=int(number))
        )

    def of_type(self, entries: QuerySet[JournalEntry], name: str, kind: str) -> QuerySet[JournalEntry]:
        return entries.filter(Q(kind=kind) | Q(kind=STATE_EVENT, payload__event_type=kind))
