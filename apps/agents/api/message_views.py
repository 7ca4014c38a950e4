"""Messages over REST in the existing system's fields: the entries of the journal that are messages."""

from __future__ import annotations

from rest_framework import serializers
from rest_framework.viewsets import ReadOnlyModelViewSet

from apps.runs.api.fields import UUID_PATTERN
from apps.runs.api.pagination import NewestFirst
from apps.runs.api.showing import RowSerializer
from apps.runs.models import JournalEntry
from apps.runs.selectors import journal

from ..bus.vocabulary import MESSAGES
from ..filters import MessageFilter


class MessageSerializer(RowSerializer[JournalEntry]):
    """`message_content` are the fields of the message without its envelope."""

    message_id = serializers.UUIDField(source="msg_id")
    message_type = serializers.CharField(source="kind")
    sender_agent = serializers.CharField(source="actor")
    namespace = serializers.CharField(source="namespace.name", default="")
    execution_id = serializers.CharField(source="run.execution.execution_id", default="")
    run_id = serializers.CharField(source="run.run_number", default="")
    message_content = serializers.DictField(source="payload")
    sent_at = serializers.DateTimeField(source="occurred_at")

    class Meta:
        model = JournalEntry
        fields = [
            "message_id",
            "message_type",
            "sender_agent",
            "namespace",
            "execution_id",
            "run_id",
            "message_content",
            "sent_at",
            "correlation_id",
            "causation_id",
            "position",
        ]


class ByNewestPosition(NewestFirst):
    """The order in which the messages went out, the last first."""

    ordering = "-position"


class WorkflowMessageViewSet(ReadOnlyModelViewSet[JournalEntry]):
    """All messages, the last one first, by their id."""

    queryset = journal().filter(kind__in=sorted(MESSAGES))
    serializer_class = MessageSerializer
    filterset_class = MessageFilter
    pagination_class = ByNewestPosition
    lookup_field = "msg_id"
    lookup_value_regex = UUID_PATTERN
