"""Agents and dead letters over REST, to be read."""

from __future__ import annotations

from rest_framework.viewsets import ReadOnlyModelViewSet

from ..filters import DeadLetterFilter, SystemAgentFilter
from ..models import DeadLetter, SystemAgent
from .serializers import DeadLetterSerializer, SystemAgentSerializer


class SystemAgentViewSet(ReadOnlyModelViewSet[SystemAgent]):
    """Agents by instance name."""

    queryset = SystemAgent.objects.all()
    serializer_class = SystemAgentSerializer
    filterset_class = SystemAgentFilter
    lookup_field = "instance_name"
    lookup_value_regex = "[^/]+"


class DeadLetterViewSet(ReadOnlyModelViewSet[DeadLetter]):
    """Messages that could not be handled, newest first, as they came."""

    queryset = DeadLetter.objects.all()
    serializer_class = DeadLetterSerializer
    filterset_class = DeadLetterFilter
