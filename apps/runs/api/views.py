"""Runs and their journal over REST, to be read."""

from __future__ import annotations

from rest_framework.viewsets import ReadOnlyModelViewSet

from ..filters import JournalFilter, RunFilter
from ..models import JournalEntry, Run
from ..selectors import journal, run_list
from .pagination import ByPosition
from .serializers import JournalSerializer, RunSerializer


class RunViewSet(ReadOnlyModelViewSet[Run]):
    """Runs, newest first, by their number."""

    queryset = run_list()
    serializer_class = RunSerializer
    filterset_class = RunFilter
    ordering_fields = ["run_number", "requested_at", "start_time", "end_time"]
    search_fields = ["execution__execution_id", "namespace__name"]
    lookup_field = "run_number"
    lookup_value_regex = r"\d+"


class JournalViewSet(ReadOnlyModelViewSet[JournalEntry]):
    """The journal in order of position. To follow it, ask for `?after=` the last position seen: none is ever missed."""

    queryset = journal()
    serializer_class = JournalSerializer
    filterset_class = JournalFilter
    pagination_class = ByPosition
    lookup_field = "position"
    lookup_value_regex = r"\d+"
