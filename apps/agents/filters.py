"""What agents and dead letters can be searched by: the same words in page addresses and over REST."""

from __future__ import annotations

from django_filters import rest_framework as filters

from .models import DeadLetter, SystemAgent


class SystemAgentFilter(filters.FilterSet):
    class Meta:
        model = SystemAgent
        fields = ["agent_type", "operational_state", "status"]


class DeadLetterFilter(filters.FilterSet):
    class Meta:
        model = DeadLetter
        fields = ["agent", "msg_type"]
