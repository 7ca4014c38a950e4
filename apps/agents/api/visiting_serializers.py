"""What agents of the existing system send of themselves, in that system's fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers

from apps.runs.api.fields import ClockTime

from ..choices import AgentStatus, Delivery, OperationalState
from ..models import AppLog, Subscriber
from ..selectors import ErrorSummary
from ..services import VisitorBeat

# `silent` is for others to say.
_STATES = [state for state in OperationalState.values if state != OperationalState.SILENT]
_COUNTERS = ("mq_connected", "workflow_enabled", "current_stf_count", "total_stf_processed", "agent_url")


class HeartbeatSerializer(serializers.Serializer[Any]):
    """A heartbeat; what is left out stays as it was."""

    instance_name = serializers.CharField(max_length=100)
    agent_type = serializers.CharField(max_length=50, required=False)
    description = serializers.CharField(required=False, allow_blank=True)
    status = serializers.ChoiceField(choices=AgentStatus.values, required=False)
    operational_state = serializers.ChoiceField(choices=_STATES, required=False)
    namespace = serializers.CharField(max_length=100, required=False, allow_blank=True)
    hostname = serializers.CharField(max_length=250, required=False, allow_blank=True, allow_null=True)
    pid = serializers.IntegerField(min_value=0, max_value=2**31 - 1, required=False, allow_null=True)
    mq_connected = serializers.BooleanField(required=False)
    workflow_enabled = serializers.BooleanField(required=False)
    current_stf_count = serializers.IntegerField(required=False)
    total_stf_processed = serializers.IntegerField(required=False)
    agent_url = serializers.CharField(required=False, allow_blank=True, allow_null=True)
    metadata = serializers.DictField(required=False, allow_null=True)

    def to_internal_value(self, data: Any) -> VisitorBeat:
        """The heartbeat as the service takes it."""
        notes = data.get("metadata") if isinstance(data, Mapping) else None
        if isinstance(notes, Mapping):
            # What is shown as a number must be one, wherever it is said.
            data = {**{name: notes[name] for name in _COUNTERS if name in notes}, **data}
        said = super().to_internal_value(data)
        counters = {name: said.pop(name) for name in _COUNTERS if name in said}
        return VisitorBeat(**said | {"counters": (said.pop("metadata", None) or {}) | counters})


class AppLogSerializer(serializers.ModelSerializer[AppLog]):
    """A record of a log. `run_number` is taken from `extra_data.run_id`, `levelname` from the level if it is not said."""

    timestamp = ClockTime(required=False)
    levelname = serializers.CharField(max_length=20, required=False)
    message = serializers.CharField(allow_blank=True, trim_whitespace=False)
    module = serializers.CharField(max_length=200, required=False, allow_blank=True, allow_null=True)
    funcname = serializers.CharField(max_length=200, required=False, allow_blank=True, allow_null=True)
    extra_data = serializers.DictField(required=False, allow_null=True)

    class Meta:
        model = AppLog
        fields = [
            "id",
            "app_name",
            "instance_name",
            "timestamp",
            "received_at",
            "level",
            "levelname",
            "message",
            "module",
            "funcname",
            "lineno",
            "process",
            "thread",
            "run_number",
            "extra_data",
        ]
        read_only_fields = ["id", "received_at", "run_number"]


class ErrorSerializer(serializers.ModelSerializer[AppLog]):
    """An error inside the summary; `level` is its name, as it was."""

    level = serializers.CharField(source="levelname")

    class Meta:
        model = AppLog
        fields = ["id", "timestamp", "level", "message", "module", "funcname", "lineno"]


class ErrorSummarySerializer(serializers.Serializer[ErrorSummary]):
    """Of one instance: how many errors of each level, and the newest five."""

    error_counts = serializers.DictField(child=serializers.IntegerField())
    recent_errors = ErrorSerializer(many=True)


class SubscriberSerializer(serializers.ModelSerializer[Subscriber]):
    """A subscriber. A known one is described anew, which is no error."""

    # Not unique here: the service finds the known one.
    subscriber_name = serializers.CharField(max_length=255)
    fraction = serializers.FloatField(min_value=0, max_value=1, required=False)
    delivery_type = serializers.ChoiceField(choices=Delivery.values, required=False)
    message_filters = serializers.DictField(required=False)

    class Meta:
        model = Subscriber
        fields = [
            "id",
            "subscriber_name",
            "description",
            "is_active",
            "fraction",
            "delivery_type",
            "message_filters",
            "created_at",
            "updated_at",
        ]
        read_only_fields = ["id", "created_at", "updated_at"]
