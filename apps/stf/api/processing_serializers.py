"""Processing as REST shows it, and the wishes that its actions take."""

from __future__ import annotations

from rest_framework import serializers

from apps.runs.api.requests import ExactSerializer
from apps.runs.api.showing import RowSerializer

from ..choices import Policy
from ..models import (
    Brake,
    DecisionBox,
    ProcessingJob,
    ProcessingOutput,
    ProcessingSite,
    ProcessingTask,
    StfProcessing,
)


class ProcessingSiteSerializer(RowSerializer[ProcessingSite]):
    class Meta:
        model = ProcessingSite
        fields = ["name", "panda_queue", "is_down", "down_reason", "changed_by", "changed_at"]


class DecisionBoxSerializer(RowSerializer[DecisionBox]):
    run_number = serializers.IntegerField(source="run.run_number")

    class Meta:
        model = DecisionBox
        fields = ["run_number", "policy", "sites", "rules", "changed_by", "changed_at"]


class BrakeSerializer(RowSerializer[Brake]):
    """`run_number` is null for the brake of all runs."""

    run_number = serializers.IntegerField(source="run.run_number", allow_null=True)

    class Meta:
        model = Brake
        fields = ["run_number", "is_on", "cancel", "by", "reason", "since"]


class ProcessingTaskSerializer(RowSerializer[ProcessingTask]):
    run_number = serializers.IntegerField(source="run.run_number")
    input_dataset = serializers.CharField()

    class Meta:
        model = ProcessingTask
        fields = [
            "id",
            "run_number",
            "site",
            "input_dataset",
            "is_open",
            "task_name",
            "jedi_task_id",
            "status",
            "reason",
            "submitted_at",
            "changed_at",
            "reloads",
            "command",
            "command_by",
            "command_reason",
            "command_at",
            "command_done_at",
            "command_outcome",
        ]


class StfProcessingSerializer(RowSerializer[StfProcessing]):
    run_number = serializers.IntegerField(source="run.run_number")
    sequence = serializers.IntegerField(source="stf.sequence")
    stf_filename = serializers.CharField(source="stf.stf_filename")

    class Meta:
        model = StfProcessing
        fields = [
            "id",
            "run_number",
            "sequence",
            "stf_filename",
            "chosen_site",
            "site",
            "may_move",
            "state",
            "reason",
            "attempts",
            "attached_at",
            "detached_at",
            "changed_at",
            "done_at",
        ]


class ProcessingOutputSerializer(RowSerializer[ProcessingOutput]):
    run_number = serializers.IntegerField(source="job.task.run.run_number")
    panda_id = serializers.IntegerField(source="job.panda_id")
    did = serializers.CharField(source="__str__")

    class Meta:
        model = ProcessingOutput
        fields = [
            "id",
            "run_number",
            "panda_id",
            "did",
            "dataset",
            "rse",
            "size_bytes",
            "checksum",
            "registered_at",
            "reason",
        ]


class _InputSerializer(RowSerializer[StfProcessing]):
    """An STF that a job reads."""

    sequence = serializers.IntegerField(source="stf.sequence")
    stf_filename = serializers.CharField(source="stf.stf_filename")

    class Meta:
        model = StfProcessing
        fields = ["sequence", "stf_filename"]


class _MadeSerializer(RowSerializer[ProcessingOutput]):
    """A file that a job has made."""

    did = serializers.CharField(source="__str__")

    class Meta:
        model = ProcessingOutput
        fields = ["did", "size_bytes", "checksum", "registered_at", "reason"]


class ProcessingJobSerializer(RowSerializer[ProcessingJob]):
    run_number = serializers.IntegerField(source="task.run.run_number")
    site = serializers.CharField(source="task.site")
    jedi_task_id = serializers.IntegerField(source="task.jedi_task_id", allow_null=True)
    inputs = _InputSerializer(many=True)
    outputs = _MadeSerializer(source="made", many=True)

    class Meta:
        model = ProcessingJob
        fields = [
            "panda_id",
            "run_number",
            "site",
            "jedi_task_id",
            "status",
            "attempt_nr",
            "reason",
            "created_at",
            "changed_at",
            "ended_at",
            "kill_asked_at",
            "inputs",
            "outputs",
        ]


class ReasonSerializer(ExactSerializer):
    """Why; everybody is shown it."""

    reason = serializers.CharField()


class BrakeWishSerializer(ReasonSerializer):
    """Why, and whether running jobs are killed too."""

    cancel = serializers.BooleanField(default=False)


class CommandWishSerializer(ExactSerializer):
    """Why, if it is to be told."""

    reason = serializers.CharField(default="", allow_blank=True)


class PolicyWishSerializer(ExactSerializer):
    """Another policy, with the sites it names (left out: as they are) and the rules of the policy explicit."""

    policy = serializers.ChoiceField(choices=Policy.choices)
    sites = serializers.ListField(child=serializers.CharField(), allow_empty=False, default=None)
    rules = serializers.ListField(child=serializers.CharField(), default=list)
