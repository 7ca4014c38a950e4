"""Agents over REST, to be read; incidents, to be acknowledged and cleared; dead letters, to be replayed and discarded."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ReadOnlyModelViewSet

from apps.runs.api.fields import NUMBER_PATTERN
from apps.runs.api.requests import made, name_of
from apps.runs.people import is_admin

from .. import selectors, services
from ..filters import DeadLetterFilter, IncidentFilter, SystemAgentFilter
from ..models import DeadLetter, Incident, SystemAgent
from .serializers import (
    ClosingReasonSerializer,
    DeadLetterSerializer,
    IncidentSerializer,
    ReplayWishSerializer,
    SystemAgentSerializer,
)
from .visiting_serializers import HeartbeatSerializer


class SystemAgentViewSet(ReadOnlyModelViewSet[SystemAgent]):
    """Agents by instance name; those of other systems tell here that they live."""

    queryset = SystemAgent.objects.all()
    serializer_class = SystemAgentSerializer
    filterset_class = SystemAgentFilter
    ordering_fields = ["instance_name", "agent_type", "last_heartbeat"]
    search_fields = ["instance_name", "description"]
    lookup_field = "instance_name"
    lookup_value_regex = "[^/]+"

    @extend_schema(
        request=HeartbeatSerializer, responses={200: SystemAgentSerializer, 201: SystemAgentSerializer}
    )
    @action(detail=False, methods=["post"])
    def heartbeat(self, request: Request) -> Response:
        """Write down what an agent says of itself; answers with the agent, with 201 if it was not known. Its name belongs to
        the user who was the first to use it."""
        beat = HeartbeatSerializer(data=request.data)
        beat.is_valid(raise_exception=True)
        agent, created = services.visitor_beat(
            beat.validated_data, by=name_of(request), by_admin=is_admin(request.user)
        )
        return made(self.get_serializer(agent).data, created=created)


class IncidentViewSet(ReadOnlyModelViewSet[Incident]):
    """What a person should know of, newest first, and who looks after it."""

    queryset = selectors.incident_list()
    serializer_class = IncidentSerializer
    filterset_class = IncidentFilter
    lookup_value_regex = NUMBER_PATTERN

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    def acknowledge(self, request: Request, pk: str) -> Response:
        """Say that somebody looks after it; answers with the incident."""
        services.acknowledge([int(pk)], by=name_of(request))
        return Response(self.get_serializer(self.get_object()).data)

    @extend_schema(request=ClosingReasonSerializer)
    @action(detail=True, methods=["post"])
    def clear(self, request: Request, pk: str) -> Response:
        """Say that it is over, with a `reason`; answers with the incident."""
        wish = ClosingReasonSerializer(data=request.data)
        wish.is_valid(raise_exception=True)
        services.clear([int(pk)], by=name_of(request), reason=wish.validated_data["reason"])
        return Response(self.get_serializer(self.get_object()).data)


class DeadLetterViewSet(ReadOnlyModelViewSet[DeadLetter]):
    """Messages that could not be handled, newest first, as they came; and what became of them."""

    queryset = selectors.letter_list()
    serializer_class = DeadLetterSerializer
    filterset_class = DeadLetterFilter
    lookup_value_regex = NUMBER_PATTERN

    @extend_schema(
        request=ReplayWishSerializer,
        responses={202: inline_serializer("ReplayRequested", {"requested": serializers.IntegerField()})},
    )
    @action(detail=False, methods=["post"], url_path="replay")
    def replay_many(self, request: Request) -> Response:
        """Have open letters replayed, those that `agent` and `msg_type` select, or `all`; answers how many."""
        wish = ReplayWishSerializer(data=request.data)
        wish.is_valid(raise_exception=True)
        chosen = selectors.replayable_letters(
            agent=wish.validated_data.get("agent", ""), msg_type=wish.validated_data.get("msg_type", "")
        )
        requested = services.request_replay(chosen.values_list("pk", flat=True), by=name_of(request))
        return Response({"requested": requested}, status=status.HTTP_202_ACCEPTED)

    @extend_schema(request=None, responses={202: DeadLetterSerializer})
    @action(detail=True, methods=["post"])
    def replay(self, request: Request, pk: str) -> Response:
        """Have this letter replayed; answers with the letter, which its agent takes up within a second or so."""
        services.request_replay([int(pk)], by=name_of(request))
        return Response(self.get_serializer(self.get_object()).data, status=status.HTTP_202_ACCEPTED)

    @extend_schema(request=ClosingReasonSerializer)
    @action(detail=True, methods=["post"])
    def discard(self, request: Request, pk: str) -> Response:
        """Discard this letter, with a `reason`; answers with the letter."""
        wish = ClosingReasonSerializer(data=request.data)
        wish.is_valid(raise_exception=True)
        services.discard([int(pk)], by=name_of(request), reason=wish.validated_data["reason"])
        return Response(self.get_serializer(self.get_object()).data)
