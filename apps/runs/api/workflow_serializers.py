"""Definitions and executions of workflows in the existing system's fields."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from rest_framework import serializers

from ..choices import ExecutionStatus
from ..models import Run, WorkflowDefinition, WorkflowExecution
from ..selectors import execution_status
from ..services.declaring import SaidDefinition, SaidExecution
from .fields import ClockTime
from .requests import ExactSerializer


class WorkflowDefinitionSerializer(serializers.ModelSerializer[WorkflowDefinition]):
    """`version` is what its author calls it, of definitions of this testbed the number."""

    version = serializers.SerializerMethodField()

    class Meta:
        model = WorkflowDefinition
        fields = [
            "id",
            "workflow_name",
            "version",
            "workflow_type",
            "definition",
            "content_hash",
            "parameter_values",
            "created_by",
            "created_at",
        ]

    def get_version(self, definition: WorkflowDefinition) -> str:
        return definition.declared_version or str(definition.version)


class DefinitionSaidSerializer(serializers.Serializer[Any]):
    """A definition as the existing workflow runner declares it."""

    workflow_name = serializers.CharField(max_length=100)
    version = serializers.CharField(max_length=50)
    workflow_type = serializers.CharField(max_length=50, default="simulation")
    definition = serializers.CharField(trim_whitespace=False)
    parameter_values = serializers.DictField(default=dict)
    created_by = serializers.CharField(max_length=100, default="", allow_blank=True)

    def to_internal_value(self, data: Any) -> SaidDefinition:
        """The definition as the service takes it."""
        return SaidDefinition(**super().to_internal_value(data))


class WorkflowExecutionSerializer(serializers.ModelSerializer[WorkflowExecution]):
    """`status` is what the runner of another system says, of executions of this testbed that of the run. So are the
    parameters: those that the runner declared, or those in force here."""

    namespace = serializers.CharField(source="namespace.name")
    workflow_name = serializers.CharField(source="workflow_definition.workflow_name")
    parameter_values = serializers.SerializerMethodField()
    status = serializers.SerializerMethodField()
    end_time = serializers.SerializerMethodField()
    run_number = serializers.SerializerMethodField()

    class Meta:
        model = WorkflowExecution
        fields = [
            "execution_id",
            "workflow_definition",
            "workflow_name",
            "namespace",
            "parameter_values",
            "performance_metrics",
            "status",
            "start_time",
            "end_time",
            "executed_by",
            "run_number",
            "git_version",
        ]

    def get_parameter_values(self, execution: WorkflowExecution) -> dict[str, Any]:
        declared = execution.declared_parameters if execution.declared_status else execution.parameter_values
        return dict(declared)

    def get_status(self, execution: WorkflowExecution) -> str:
        return execution_status(execution).value

    def get_end_time(self, execution: WorkflowExecution) -> datetime | None:
        run = _run(execution)
        return execution.end_time if execution.declared_status or run is None else run.end_time

    def get_run_number(self, execution: WorkflowExecution) -> int | None:
        run = _run(execution)
        return run.run_number if run else None


class ExecutionSaidSerializer(serializers.Serializer[Any]):
    """An execution as the existing workflow runner declares it."""

    execution_id = serializers.RegexField(r"^[^/\x00]+$", max_length=250)
    workflow_definition = serializers.PrimaryKeyRelatedField(queryset=WorkflowDefinition.objects.all())
    namespace = serializers.CharField(max_length=100, default="", allow_blank=True)
    executed_by = serializers.CharField(max_length=100, default="", allow_blank=True)
    status = serializers.ChoiceField(choices=ExecutionStatus.choices, default=ExecutionStatus.RUNNING)
    parameter_values = serializers.DictField(default=dict)
    performance_metrics = serializers.DictField(default=dict)
    start_time = ClockTime(default=None, allow_null=True)

    def to_internal_value(self, data: Any) -> SaidExecution:
        """The execution as the service takes it."""
        said = super().to_internal_value(data)
        return SaidExecution(**said | {"status": ExecutionStatus(said["status"])})


class ExecutionChangeSerializer(ExactSerializer):
    """What the runner says of its execution later on."""

    status = serializers.ChoiceField(choices=ExecutionStatus.choices, required=False)
    end_time = ClockTime(required=False, allow_null=True)
    performance_metrics = serializers.DictField(required=False)


def _run(execution: WorkflowExecution) -> Run | None:
    return getattr(execution, "run", None)
