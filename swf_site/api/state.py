"""Time travel: what was known at a moment that is past, and what has changed between two. Out of the journal alone."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.agents.api.state_serializers import (
    AtAskedSerializer,
    ChangesAskedSerializer,
    ChangesSerializer,
    RunAskedSerializer,
    RunPastSerializer,
    SystemPastSerializer,
)
from apps.agents.selectors.past import system_changes, system_past
from apps.runs.api.renderers import QuickJSONRenderer
from apps.runs.api.requests import asked_in
from apps.runs.models import JournalEntry
from apps.runs.selectors import get_run, run_list
from apps.stf.selectors.past import past_of

from .namespaces import WithinNamespace


class RunPastView(APIView):
    """`runs/<number>/state/`: what was known of a run."""

    renderer_classes = [QuickJSONRenderer]

    @extend_schema(parameters=[RunAskedSerializer], responses=RunPastSerializer)
    def get(self, request: Request, run_number: int) -> Response:
        """What was known of the run at an instant (`at`) or a `position` of the journal; now if neither is given."""
        [(name, moment)] = asked_in(request, RunAskedSerializer).items()
        run = get_run(run_number)
        past = past_of([run], moment).get(run.pk)
        if past is None:
            begins = run.requested_at.isoformat()
            raise ValidationError(
                {name: [f"run {run_number} was not known then: it was requested at {begins}"]}
            )
        return Response(RunPastSerializer(past).data)


class SystemPastView(GenericAPIView[Any]):
    """`state/at/`: the system at an instant."""

    renderer_classes = [QuickJSONRenderer]
    queryset = run_list()
    # What is asked, the serializer of the query looks at.
    filter_backends = [WithinNamespace]
    serializer_class = SystemPastSerializer

    @extend_schema(parameters=[AtAskedSerializer], responses=SystemPastSerializer)
    def get(self, request: Request) -> Response:
        """The runs that were not settled at an instant (`at`, now if left out), and the agents."""
        asked = asked_in(request, AtAskedSerializer)
        runs = self.filter_queryset(_within(asked, self.get_queryset()))
        entries = self.filter_queryset(JournalEntry.objects.all())
        return Response(self.get_serializer(system_past(asked["at"], runs=runs, entries=entries)).data)


class ChangesView(GenericAPIView[Any]):
    """`state/changes/`: what has changed between two moments."""

    renderer_classes = [QuickJSONRenderer]
    queryset = run_list()
    # What is asked, the serializer of the query looks at.
    filter_backends = [WithinNamespace]
    serializer_class = ChangesSerializer

    @extend_schema(parameters=[ChangesAskedSerializer], responses=ChangesSerializer)
    def get(self, request: Request) -> Response:
        """What of each run differs between two instants or positions (`since`, and `until`, now if left out), and how many
        entries of which kind came in between."""
        asked = asked_in(request, ChangesAskedSerializer)
        runs = self.filter_queryset(self.get_queryset())
        entries = self.filter_queryset(_within(asked, JournalEntry.objects.all()))
        changes = system_changes(asked["since"], asked["until"], runs=runs, entries=entries)
        return Response(self.get_serializer(changes).data)


def _within(asked: dict[str, Any], rows: QuerySet[Any]) -> QuerySet[Any]:
    """Those of the namespace that is asked for."""
    return rows.filter(namespace=asked["namespace"]) if "namespace" in asked else rows
