"""What agents, dead letters and incidents can be searched by: the same words in page addresses and over REST."""

from __future__ import annotations

from django.db.models import Q, QuerySet
from django_filters import rest_framework as filters

from .choices import IncidentState, LetterState
from .models import DeadLetter, Incident, SystemAgent


class SystemAgentFilter(filters.FilterSet):
    class Meta:
        model = SystemAgent
        fields = ["agent_type", "operational_state", "status"]


class DeadLetterFilter(filters.FilterSet):
    """`search` finds text in the reason, the body and the message type."""

    state = filters.MultipleChoiceFilter(choices=LetterState.choices)
    search = filters.CharFilter(method="containing")

    class Meta:
        model = DeadLetter
        fields = ["state", "agent", "msg_type", "msg_id", "search"]

    def containing(self, letters: QuerySet[DeadLetter], name: str, text: str) -> QuerySet[DeadLetter]:
        return letters.filter(
            Q(reason__icontains=text) | Q(body__icontains=text) | Q(msg_type__icontains=text)
        )


class IncidentFilter(filters.FilterSet):
    """`search` finds text in the subject and the reason."""

    state = filters.MultipleChoiceFilter(choices=IncidentState.choices)
    run_number = filters.NumberFilter(field_name="run__run_number")
    search = filters.CharFilter(method="containing")

    class Meta:
        model = Incident
        fields = ["kind", "state", "run_number", "subject", "search"]

    def containing(self, incidents: QuerySet[Incident], name: str, text: str) -> QuerySet[Incident]:
        return incidents.filter(Q(subject__icontains=text) | Q(reason__icontains=text))
