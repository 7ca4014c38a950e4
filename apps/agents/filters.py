"""What agents and what they leave behind can be searched by: the same words in page addresses and over REST."""

from __future__ import annotations

import logging
import re
from decimal import Decimal

from django.db.models import Q, QuerySet
from django_filters import rest_framework as filters
from rest_framework.exceptions import ValidationError

from apps.runs.filters import of_run
from apps.runs.models import JournalEntry

from .choices import IncidentState, LetterState
from .models import AppLog, DeadLetter, Incident, Subscriber, SystemAgent


class SystemAgentFilter(filters.FilterSet):
    class Meta:
        model = SystemAgent
        fields = ["agent_type", "operational_state", "status", "namespace", "instance_name"]


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


class LogFilter(filters.FilterSet):
    """`level` is the lowest level, as a name or a number; times are those of logging."""

    level = filters.CharFilter(method="from_level")
    run = filters.NumberFilter(field_name="run_number")
    after = filters.IsoDateTimeFilter(field_name="timestamp", lookup_expr="gte")
    before = filters.IsoDateTimeFilter(field_name="timestamp", lookup_expr="lt")
    search = filters.CharFilter(field_name="message", lookup_expr="icontains")

    class Meta:
        model = AppLog
        fields = [
            "app_name",
            "instance_name",
            "level",
            "levelname",
            "run",
            "run_number",
            "after",
            "before",
            "search",
        ]

    def from_level(self, logs: QuerySet[AppLog], name: str, text: str) -> QuerySet[AppLog]:
        levels = logging.getLevelNamesMapping()
        level = int(text) if re.fullmatch(r"\d{1,9}", text) else levels.get(text.upper())
        if level is None:
            raise ValidationError(
                {"level": [f"{text!r} is no level; there are {', '.join(levels)}, or a number"]}
            )
        return logs.filter(level__gte=level)


class SubscriberFilter(filters.FilterSet):
    class Meta:
        model = Subscriber
        fields = ["subscriber_name", "is_active", "delivery_type"]


class MessageFilter(filters.FilterSet):
    """The words of the existing system."""

    message_type = filters.CharFilter(field_name="kind")
    sender_agent = filters.CharFilter(field_name="actor")
    namespace = filters.CharFilter(field_name="namespace__name")
    execution_id = filters.CharFilter(field_name="run__execution__execution_id")
    run_id = filters.NumberFilter(method="of_run")

    class Meta:
        model = JournalEntry
        fields = ["message_type", "sender_agent", "namespace", "execution_id", "run_id"]

    def of_run(self, entries: QuerySet[JournalEntry], name: str, number: Decimal) -> QuerySet[JournalEntry]:
        return of_run(entries, number)
