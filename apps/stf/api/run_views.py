"""Runs of other DAQs over REST, as the existing agents announce and follow them; and the states of all runs."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet, ReadOnlyModelViewSet

from apps.runs import services as runs
from apps.runs.api.fields import NUMBER_PATTERN
from apps.runs.api.preconditions import Tagged, check_if_match, tagged
from apps.runs.api.requests import made, name_of, said_in
from apps.runs.api.serializers import RunAnnouncedSerializer, RunChangeSerializer, RunSerializer
from apps.runs.models import Run
from apps.runs.selectors import get_run
from apps.runs.services.rows import locked_run

from .. import services
from ..filters import RunStateFilter
from ..selectors.run_states import run_state_list
from ..selectors.workers import workers_up
from .run_serializers import RunStateChangeSerializer, RunStateSaidSerializer, RunStateSerializer


class RunWrites(Tagged, GenericViewSet[Run]):
    """`POST runs/` and `PATCH runs/<number>/`, for a view of runs."""

    guarded = "run_conditions"

    @extend_schema(request=RunAnnouncedSerializer)
    def create(self, request: Request) -> Response:
        """Take over a run of another DAQ; a known one is left as it is, and answered with 200."""
        said = said_in(request, RunAnnouncedSerializer)
        said.pop("start_time", None)
        run, created = runs.announce_run(said.pop("run_number"), by=name_of(request), **said)
        data = RunSerializer(run).data
        return tagged(data, made(data, created=created))

    def retrieve(self, request: Request, run_number: str) -> Response:
        """A run, with its tag."""
        return tagged(RunSerializer(self.get_object()).data)

    @extend_schema(request=RunChangeSerializer)
    def partial_update(self, request: Request, run_number: str) -> Response:
        """Say that a run of another DAQ has ended, with `end_time` or `total_stf_files`, or describe its `run_conditions`
        anew, which needs `If-Match`."""
        said = said_in(request, RunChangeSerializer)
        number = int(run_number)
        with transaction.atomic():
            seen = RunSerializer(locked_run(number)).data
            check_if_match(request, seen, required_for=self.guarded if self.guarded in said else "")
            if "run_conditions" in said:
                runs.set_run_conditions(number, said["run_conditions"], by=name_of(request))
            if said.get("end_time") or "total_stf_files" in said:
                services.end_visiting_run(
                    number, by=name_of(request), total_stf_files=said.get("total_stf_files")
                )
        return tagged(RunSerializer(get_run(number)).data)


class RunStateViewSet(Tagged, ReadOnlyModelViewSet[Run]):
    """The states of runs in the existing system's columns, the newest run first, by run number."""

    queryset = run_state_list()
    serializer_class = RunStateSerializer
    filterset_class = RunStateFilter
    lookup_field = "run_number"
    lookup_value_regex = NUMBER_PATTERN

    def get_serializer_context(self) -> dict[str, Any]:
        """With how many workers are up, which serve all runs."""
        return {**super().get_serializer_context(), "workers_up": workers_up().count()}

    @extend_schema(request=RunStateSaidSerializer)
    def create(self, request: Request) -> Response:
        """Take over the run of another DAQ, which is imminent then; a known one is left as it is, and answered with 200."""
        said = said_in(request, RunStateSaidSerializer)
        execution_id = str((said.get("metadata") or {}).get("execution_id") or "")
        run, created = runs.announce_run(said["run_number"], by=name_of(request), execution_id=execution_id)
        data = self._shown(run.run_number)
        return tagged(data, made(data, created=created))

    def retrieve(self, request: Request, run_number: str) -> Response:
        """The state of a run, with its tag."""
        return tagged(self.get_serializer(self.get_object()).data)

    @extend_schema(request=RunStateChangeSerializer)
    def partial_update(self, request: Request, run_number: str) -> Response:
        """Say in which `state` and `substate` the run of another DAQ is. Everything else here is counted by the server."""
        number = int(run_number)
        said = said_in(request, RunStateChangeSerializer)
        runs.follow_words(
            number,
            state=said.get("state"),
            substate=said.get("substate"),
            by=name_of(request),
            check=lambda: check_if_match(request, self._shown(number)),
        )
        return tagged(self._shown(number))

    def _shown(self, run_number: int) -> Any:
        return self.get_serializer(self.get_queryset().get(run_number=run_number)).data
