"""Agents, dead letters and incidents as REST shows them."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from apps.runs.api.showing import RowSerializer

from ..models import DeadLetter, Incident, SystemAgent
from ..registry import AGENTS


class SystemAgentSerializer(RowSerializer[SystemAgent]):
    """The last three are those among the counters that agents of the existing system send."""

    workflow_enabled = serializers.BooleanField(source="counters.workflow_enabled", default=False)
    current_stf_count = serializers.IntegerField(source="counters.current_stf_count", default=0)
    total_stf_processed = serializers.IntegerField(source="counters.total_stf_processed", default=0)

    class Meta:
        model = SystemAgent
        fields = [
            "id",
            "instance_name",
            "agent_type",
            "operational_state",
            "status",
            "description",
            "hostname",
            "pid",
            "started_at",
            "last_heartbeat",
            "counters",
            "namespace",
            "workflow_enabled",
            "current_stf_count",
            "total_stf_processed",
        ]


class DeadLetterSerializer(RowSerializer[DeadLetter]):
    class Meta:
        model = DeadLetter
        fields = [
            "id",
            "state",
            "agent",
            "msg_type",
            "msg_id",
            "reason",
            "body",
            "parked_at",
            "replays",
            "replay_requested_at",
            "replay_requested_by",
            "replayed_at",
            "discarded_at",
            "discarded_by",
            "discarded_reason",
        ]


class ReplayWishSerializer(serializers.Serializer[Any]):
    """Which open letters are to be replayed: those of an agent, of a message type, or all."""

    agent = serializers.ChoiceField(choices=AGENTS, required=False)
    msg_type = serializers.CharField(required=False)
    all = serializers.BooleanField(default=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """A misspelled filter must not mean all."""
        if unknown := set(self.initial_data) - set(self.fields):
            known = ", ".join(self.fields)
            raise serializers.ValidationError(dict.fromkeys(unknown, f"is no filter; there are {known}"))
        if not (attrs["all"] or "agent" in attrs or "msg_type" in attrs):
            raise serializers.ValidationError({"all": "say which: agent, msg_type or both, or all = true"})
        return attrs


class ClosingReasonSerializer(serializers.Serializer[Any]):
    """Why nobody needs to look at a letter or an incident any more."""

    reason = serializers.CharField()


class IncidentSerializer(RowSerializer[Incident]):
    run_number = serializers.IntegerField(source="run.run_number", allow_null=True, read_only=True)

    class Meta:
        model = Incident
        fields = [
            "id",
            "kind",
            "subject",
            "run_number",
            "state",
            "reason",
            "opened_at",
            "acknowledged_at",
            "acknowledged_by",
            "cleared_at",
            "cleared_by",
            "cleared_reason",
        ]
