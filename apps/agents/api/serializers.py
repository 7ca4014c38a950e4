"""Agents and dead letters as REST shows them."""

from __future__ import annotations

from rest_framework import serializers

from ..models import DeadLetter, SystemAgent


class SystemAgentSerializer(serializers.ModelSerializer[SystemAgent]):
    class Meta:
        model = SystemAgent
        fields = [
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
        ]


class DeadLetterSerializer(serializers.ModelSerializer[DeadLetter]):
    class Meta:
        model = DeadLetter
        fields = ["id", "agent", "msg_type", "msg_id", "reason", "body", "parked_at"]
