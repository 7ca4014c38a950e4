"""Runs and their journal as REST shows them."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from ..models import STATE_EVENT, JournalEntry, Run
from .fields import ClockTime, RunNumber
from .requests import ExactSerializer
from .showing import RowSerializer


class RunSerializer(RowSerializer[Run]):
    """`run_id` is the run number too: what the existing agents take for the id of a run."""

    run_id = serializers.IntegerField(source="run_number")
    namespace = serializers.CharField(source="namespace.name")
    execution_id = serializers.CharField(source="execution.execution_id")
    workflow = serializers.CharField(source="execution.workflow_definition.workflow_name")
    requested_by = serializers.CharField(source="execution.executed_by")
    parameters = serializers.DictField()
    git_version = serializers.DictField(source="execution.git_version")

    class Meta:
        model = Run
        fields = [
            "run_id",
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


class RunAnnouncedSerializer(ExactSerializer):
    """A run of another DAQ. `start_time` is taken and not kept: it is when this testbed hears of physics."""

    run_number = RunNumber()
    start_time = ClockTime(required=False, allow_null=True)
    run_conditions = serializers.DictField(required=False, allow_null=True)
    namespace = serializers.CharField(max_length=100, required=False, default="")
    execution_id = serializers.CharField(max_length=250, required=False, default="")


class RunChangeSerializer(ExactSerializer):
    """What may be said of a run later on: that it has ended, with how many STFs, and its conditions."""

    end_time = ClockTime(required=False, allow_null=True)
    total_stf_files = serializers.IntegerField(min_value=0, max_value=2**31 - 1, required=False)
    run_conditions = serializers.DictField(required=False)


class JournalSerializer(RowSerializer[JournalEntry]):
    run_number = serializers.IntegerField(source="run.run_number", allow_null=True)
    namespace = serializers.CharField(source="namespace.name", allow_null=True)

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


class StateEventSerializer(RowSerializer[JournalEntry]):
    """An entry of the journal in the existing system's columns; `event_data` is what its writer had to say."""

    event_id = serializers.IntegerField(source="pk")
    timestamp = serializers.DateTimeField(source="occurred_at")
    run_number = serializers.SerializerMethodField()
    event_type = serializers.SerializerMethodField()
    state = serializers.CharField(source="payload.state", default="")
    substate = serializers.CharField(source="payload.substate", default="")
    event_data = serializers.SerializerMethodField()

    class Meta:
        model = JournalEntry
        fields = [
            "event_id",
            "timestamp",
            "run_number",
            "event_type",
            "state",
            "substate",
            "event_data",
            "actor",
        ]

    def get_run_number(self, entry: JournalEntry) -> int | None:
        return entry.run.run_number if entry.run else entry.payload.get("run_number")

    def get_event_type(self, entry: JournalEntry) -> str:
        return str(entry.payload["event_type"]) if entry.kind == STATE_EVENT else entry.kind

    def get_event_data(self, entry: JournalEntry) -> dict[str, Any]:
        return dict(entry.payload["event_data"] if entry.kind == STATE_EVENT else entry.payload)


class StateEventSaidSerializer(serializers.Serializer[Any]):
    """What an agent says has happened."""

    timestamp = ClockTime(required=False, allow_null=True)
    run_number = RunNumber(required=False, allow_null=True)
    event_type = serializers.CharField(max_length=50)
    state = serializers.CharField(max_length=50, required=False, allow_blank=True, allow_null=True)
    substate = serializers.CharField(max_length=50, required=False, allow_blank=True, allow_null=True)
    event_data = serializers.DictField(required=False, allow_null=True)
