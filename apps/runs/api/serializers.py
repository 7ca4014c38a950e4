"""Runs and their journal as REST shows them."""

from __future__ import annotations

from rest_framework import serializers

from ..models import JournalEntry, Run


class RunSerializer(serializers.ModelSerializer[Run]):
    namespace = serializers.CharField(source="namespace.name")
    execution_id = serializers.CharField(source="execution.execution_id")
    workflow = serializers.CharField(source="execution.workflow_definition.workflow_name")
    requested_by = serializers.CharField(source="execution.executed_by")
    parameters = serializers.DictField()
    git_version = serializers.DictField(source="execution.git_version")

    class Meta:
        model = Run
        fields = [
            "run_number",
            "namespace",
            "execution_id",
            "workflow",
            "requested_by",
            "state",
            "substate",
            "state_changed_at",
            "lifecycle",
            "lifecycle_changed_at",
            "expected_stf_count",
            "requested_at",
            "start_time",
            "end_time",
            "closed_at",
            "abort_reason",
            "close_forced_by",
            "close_forced_reason",
            "run_conditions",
            "parameters",
            "git_version",
        ]


class JournalSerializer(serializers.ModelSerializer[JournalEntry]):
    run_number = serializers.IntegerField(source="run.run_number", default=None)
    namespace = serializers.CharField(source="namespace.name", default=None)

    class Meta:
        model = JournalEntry
        fields = [
            "position",
            "msg_id",
            "kind",
            "run_number",
            "namespace",
            "actor",
            "subject",
            "payload",
            "stream_sequence",
            "correlation_id",
            "causation_id",
            "occurred_at",
        ]
