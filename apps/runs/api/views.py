"""Runs and their journal over REST, to be read."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ReadOnlyModelViewSet

from .. import services
from ..filters import JournalFilter, RunFilter, StateEventFilter
from ..models import JournalEntry, Run
from ..selectors import journal, run_list, state_events
from .fields import NUMBER_PATTERN
from .pagination import ByPosition, NewestFirst
from .requests import made, name_of, said_in
from .serializers import JournalSerializer, RunSerializer, StateEventSaidSerializer, StateEventSerializer


class RunViewSet(ReadOnlyModelViewSet[Run]):
    """Runs, newest first, by their number."""

    queryset = run_list()
    serializer_class = RunSerializer
    filterset_class = RunFilter
    ordering_fields = ["run_number", "requested_at", "start_time", "end_time"]
    search_fields = ["execution__execution_id", "namespace__name"]
    lookup_field = "run_number"
    lookup_value_regex = NUMBER_PATTERN


class JournalViewSet(ReadOnlyModelViewSet[JournalEntry]):
    """The journal in order of position. To follow it, ask for `?after=` the last position seen: none is ever missed."""

    queryset = journal()
    serializer_class = JournalSerializer
    filterset_class = JournalFilter
    pagination_class = ByPosition
    lookup_field = "position"
    lookup_value_regex = NUMBER_PATTERN


class StateEventViewSet(ReadOnlyModelViewSet[JournalEntry]):
    """What has happened to the state of runs, the newest first; agents add what they have seen, and nobody changes it."""

    queryset = state_events()
    serializer_class = StateEventSerializer
    filterset_class = StateEventFilter
    pagination_class = NewestFirst
    lookup_value_regex = NUMBER_PATTERN

    @extend_schema(request=StateEventSaidSerializer, responses={201: StateEventSerializer})
    def create(self, request: Request) -> Response:
        """Keep what an agent says has happened. It changes no state."""
        said = said_in(request, StateEventSaidSerializer)
        entry = services.note_state_event(
            said["event_type"],
            by=name_of(request),
            run_number=said.get("run_number"),
            state=said.get("state") or "",
            substate=said.get("substate") or "",
            event_data=said.get("event_data"),
            occurred_at=said.get("timestamp"),
        )
        return made(self.get_serializer(entry).data, created=True)
