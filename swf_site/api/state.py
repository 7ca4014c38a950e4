"""Time travel: what was known at a moment that is past, and what has changed between two. Out of the journal alone."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
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
from apps.agents.selectors import agents_told
from apps.runs.api.requests import asked_in
from apps.runs.choices import SETTLED
from apps.runs.history import Moment, between, counted_by_kind, perhaps_alive
from apps.runs.models import JournalEntry
from apps.runs.selectors import get_run, run_list
from apps.stf.selectors.past import RunChanges, changes_of, past_of

from .namespaces import WithinNamespace

# Of so many runs, the newest, the entries are counted for one answer.
MOST_RUNS = 100


class RunPastView(APIView):
    """`runs/<number>/state/`: what was known of a run."""

    @extend_schema(parameters=[RunAskedSerializer], responses=RunPastSerializer)
    def get(self, request: Request, run_number: int) -> Response:
        """What was known of the run at an instant (`at`) or a `position` of the journal; now if neither is given."""
        asked = asked_in(request, RunAskedSerializer)
        moment = asked.get("at") or asked.get("position") or Moment(at=timezone.now())
        run = get_run(run_number)
        past = past_of([run], moment).get(run.pk)
        if past is None:
            named = "position" if "position" in asked else "at"
            begins = run.requested_at.isoformat()
            raise ValidationError(
                {named: [f"run {run_number} was not known then: it was requested at {begins}"]}
            )
        return Response(RunPastSerializer(past).data)


class SystemPastView(GenericAPIView[Any]):
    """`state/at/`: the system at an instant."""

    queryset = run_list()
    # What is asked, the serializer of the query looks at.
    filter_backends = [WithinNamespace]
    serializer_class = SystemPastSerializer

    @extend_schema(parameters=[AtAskedSerializer], responses=SystemPastSerializer)
    def get(self, request: Request) -> Response:
        """The runs that were not settled at an instant (`at`, now if left out), and the agents."""
        asked = asked_in(request, AtAskedSerializer)
        moment: Moment = asked.get("at") or Moment(at=timezone.now())
        runs = self.filter_queryset(_within(asked, self.get_queryset()))
        alive = perhaps_alive(runs, moment.at or timezone.now()).order_by("-run_number")
        past = past_of(shown := list(alive[:MOST_RUNS]), moment)
        answer = {
            "at": moment.at,
            "runs": [one for one in past.values() if one.told.lifecycle not in SETTLED],
            "left_out": alive.count() - len(shown),
            "agents": agents_told(self.filter_queryset(JournalEntry.objects.all()), moment),
        }
        return Response(self.get_serializer(answer).data)


class ChangesView(GenericAPIView[Any]):
    """`state/changes/`: what has changed between two moments."""

    queryset = run_list()
    # What is asked, the serializer of the query looks at.
    filter_backends = [WithinNamespace]
    serializer_class = ChangesSerializer

    @extend_schema(parameters=[ChangesAskedSerializer], responses=ChangesSerializer)
    def get(self, request: Request) -> Response:
        """What of each run differs between two instants or positions (`since`, and `until`, now if left out), and how many
        entries of which kind came in between."""
        asked = asked_in(request, ChangesAskedSerializer)
        since, until = asked["since"], asked["until"]
        entries = self.filter_queryset(_within(asked, between(since, until)))
        counted = counted_by_kind(entries)
        runs = self.filter_queryset(self.get_queryset()).filter(pk__in=[pk for pk in counted if pk])
        shown = list(runs.order_by("-run_number")[:MOST_RUNS])
        answer = {
            "since": str(since),
            "until": str(until),
            "runs": [_changes(one, counted[one.run.pk]) for one in changes_of(shown, since, until)],
            "left_out": len(counted.keys() - {None}) - len(shown),
            "other_entries": counted.get(None, {}),
        }
        return Response(self.get_serializer(answer).data)


def _within(asked: dict[str, Any], rows: QuerySet[Any]) -> QuerySet[Any]:
    """Those of the namespace that is asked for."""
    return rows.filter(namespace=asked["namespace"]) if "namespace" in asked else rows


def _changes(one: RunChanges, entries: dict[str, int]) -> dict[str, Any]:
    return {
        "run_number": one.run.run_number,
        "namespace": one.run.namespace.name,
        "changed": {
            name: {"before": before, "after": after} for name, (before, after) in one.changed.items()
        },
        "entries": entries,
    }
