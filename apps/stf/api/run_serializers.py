"""The states of runs in the existing system's columns."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from rest_framework import serializers

from apps.runs.api.fields import RunNumber
from apps.runs.api.requests import ExactSerializer
from apps.runs.api.showing import RowSerializer
from apps.runs.choices import RunLifecycle
from apps.runs.models import Run

# How the existing system calls what has become of a run.
_PHASES = {
    RunLifecycle.REQUESTED: "initializing",
    RunLifecycle.IMMINENT: "imminent",
    RunLifecycle.RUNNING: "physics",
    RunLifecycle.PAUSED: "standby",
}
_COMPLETED = "completed"


class FastCount(serializers.IntegerField):
    """A count of the fast path; 0 for a run that has none."""

    def get_attribute(self, instance: Run) -> int:
        return int(super().get_attribute(instance) or 0)


class RunStateSerializer(RowSerializer[Run]):
    """`slices_processing` are those given out, `slices_completed` those done. Without a fast path all counts are 0."""

    phase = serializers.SerializerMethodField()
    substate = serializers.SerializerMethodField()
    target_worker_count = FastCount(source="fast.target_worker_count")
    active_worker_count = serializers.SerializerMethodField()
    stf_samples_received = FastCount(source="fast.stf_samples_received")
    slices_created = FastCount(source="fast.slices_created")
    slices_queued = FastCount(source="fast.slices_queued")
    slices_processing = FastCount(source="fast.slices_claimed")
    slices_completed = FastCount(source="fast.slices_done")
    slices_failed = FastCount(source="fast.slices_failed")
    slices_skipped = FastCount(source="fast.slices_skipped")
    updated_at = serializers.SerializerMethodField()
    metadata = serializers.SerializerMethodField()

    class Meta:
        model = Run
        fields = [
            "run_number",
            "phase",
            "state",
            "substate",
            "lifecycle",
            "target_worker_count",
            "active_worker_count",
            "stf_samples_received",
            "slices_created",
            "slices_queued",
            "slices_processing",
            "slices_completed",
            "slices_failed",
            "slices_skipped",
            "state_changed_at",
            "updated_at",
            "metadata",
        ]

    def get_phase(self, run: Run) -> str:
        return _PHASES.get(run.lifecycle_choice, _COMPLETED)

    def get_substate(self, run: Run) -> str | None:
        return run.substate or None

    def get_active_worker_count(self, run: Run) -> int:
        return int(self.context["workers_up"])

    def get_updated_at(self, run: Run) -> datetime:
        return max(run.state_changed_at, run.lifecycle_changed_at)

    def get_metadata(self, run: Run) -> dict[str, Any]:
        return {"execution_id": run.execution.execution_id}


# What the existing agents send beside what is theirs to say: it is counted, or set, by the server.
_SERVERS = frozenset(RunStateSerializer.Meta.fields)


class RunStateChangeSerializer(ExactSerializer):
    """What an agent says of the state of a run. Counts and phase, which agents send too, are the server's."""

    also = _SERVERS
    state = serializers.CharField(max_length=50, required=False, allow_null=True)
    substate = serializers.CharField(max_length=50, required=False, allow_null=True, allow_blank=True)


class RunStateSaidSerializer(RunStateChangeSerializer):
    """The same of a run that is perhaps not known yet; `metadata.execution_id` names its execution."""

    run_number = RunNumber()
    metadata = serializers.DictField(required=False, allow_null=True)
