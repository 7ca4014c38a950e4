"""Definitions and executions of workflows over REST; those of other systems are declared there."""

from __future__ import annotations

from django.db import transaction
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ReadOnlyModelViewSet

from ..choices import ExecutionStatus
from ..filters import DefinitionFilter, ExecutionFilter
from ..models import WorkflowDefinition, WorkflowExecution
from ..selectors import definition_list, execution_list
from ..services.declaring import (
    declare_definition,
    declare_execution,
    locked_execution,
    report_execution,
)
from .fields import NUMBER_PATTERN
from .preconditions import Tagged, check_if_match, tagged
from .requests import made, name_of, said_in
from .workflow_serializers import (
    DefinitionSaidSerializer,
    ExecutionChangeSerializer,
    ExecutionSaidSerializer,
    WorkflowDefinitionSerializer,
    WorkflowExecutionSerializer,
)


class WorkflowDefinitionViewSet(ReadOnlyModelViewSet[WorkflowDefinition]):
    """Versions of workflows, the newest first. They never change."""

    queryset = definition_list()
    serializer_class = WorkflowDefinitionSerializer
    filterset_class = DefinitionFilter
    ordering_fields = ["workflow_name", "created_at"]
    search_fields = ["workflow_name"]
    lookup_value_regex = NUMBER_PATTERN

    @extend_schema(request=DefinitionSaidSerializer)
    def create(self, request: Request) -> Response:
        """Declare a version of a workflow. The same content again is answered with 200 and the known one; other content
        under a known version is refused."""
        said = DefinitionSaidSerializer(data=request.data)
        said.is_valid(raise_exception=True)
        definition, created = declare_definition(said.validated_data, by=name_of(request))
        return made(self.get_serializer(definition).data, created=created)

    @extend_schema(request=DefinitionSaidSerializer)
    def update(self, request: Request, pk: str) -> Response:
        """The same as a POST: runners of old put a known definition again."""
        return self.create(request)


class WorkflowExecutionViewSet(Tagged, ReadOnlyModelViewSet[WorkflowExecution]):
    """Executions of workflows, the newest first, by their id."""

    queryset = execution_list()
    serializer_class = WorkflowExecutionSerializer
    filterset_class = ExecutionFilter
    ordering_fields = ["execution_id", "start_time"]
    search_fields = ["execution_id"]
    lookup_field = "execution_id"
    lookup_value_regex = "[^/]+"
    guarded = "performance_metrics"

    @extend_schema(request=ExecutionSaidSerializer)
    def create(self, request: Request) -> Response:
        """Declare an execution; a known one is answered with 200. The run that is announced under its id will be its run."""
        said = ExecutionSaidSerializer(data=request.data)
        said.is_valid(raise_exception=True)
        execution, created = declare_execution(said.validated_data, by=name_of(request))
        data = self.get_serializer(self.get_queryset().get(pk=execution.pk)).data
        return tagged(data, made(data, created=created))

    def retrieve(self, request: Request, execution_id: str) -> Response:
        """An execution, with its tag."""
        return tagged(self.get_serializer(self.get_object()).data)

    @extend_schema(request=ExecutionChangeSerializer)
    def partial_update(self, request: Request, execution_id: str) -> Response:
        """Say that a declared execution has another `status`, and when it ended; `performance_metrics` need `If-Match`."""
        said = said_in(request, ExecutionChangeSerializer)
        if "status" in said:
            said["status"] = ExecutionStatus(said["status"])
        with transaction.atomic():
            execution = locked_execution(execution_id)
            seen = self.get_serializer(execution).data
            check_if_match(request, seen, required_for=self.guarded if self.guarded in said else "")
            execution = report_execution(execution, by=name_of(request), **said)
        return tagged(self.get_serializer(execution).data)
