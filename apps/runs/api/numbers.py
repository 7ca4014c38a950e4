"""`state/` and `namespaces/`: what agents ask for before they begin, in the existing system's fields."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework.viewsets import ReadOnlyModelViewSet

from .. import services
from ..models import Namespace
from .requests import ExactSerializer, made, name_of, said_in

SUCCESS = "success"


def _number(name: str, field: str) -> serializers.Serializer[Any]:
    """An answer with a number, for the schema."""
    number = serializers.IntegerField(min_value=1)
    return inline_serializer(name, {"status": serializers.CharField(), field: number})


class NextRunNumberView(APIView):
    """`state/next-run-number/`: a number for a run."""

    @extend_schema(request=None, responses=_number("RunNumberGiven", "run_number"))
    def post(self, request: Request) -> Response:
        """A number that no run has and nobody else is given; without gaps."""
        return Response({"status": SUCCESS, "run_number": services.give_run_number(by=name_of(request))})


class NextAgentIdView(APIView):
    """`state/next-agent-id/`: a number for the name of an agent."""

    @extend_schema(request=None, responses=_number("AgentIdGiven", "agent_id"))
    def post(self, request: Request) -> Response:
        """A number that nobody else is given; without gaps, from 1."""
        return Response({"status": SUCCESS, "agent_id": services.give_agent_id(by=name_of(request))})


class WorkflowWishSerializer(serializers.Serializer[Any]):
    """For which workflow the number is; it is noted, the count is one for all."""

    workflow_name = serializers.CharField(max_length=100, required=False, default="")


class NextExecutionIdView(APIView):
    """`state/next-workflow-execution-id/`: a number for the id of an execution."""

    @extend_schema(request=WorkflowWishSerializer, responses=_number("ExecutionSequenceGiven", "sequence"))
    def post(self, request: Request) -> Response:
        """A number that nobody else is given; without gaps, from 1."""
        wish = said_in(request, WorkflowWishSerializer)
        number = services.give_execution_sequence(by=name_of(request), workflow=wish["workflow_name"])
        return Response({"status": SUCCESS, "sequence": number})


class NamespaceSerializer(serializers.ModelSerializer[Namespace]):
    class Meta:
        model = Namespace
        fields = ["name", "owner", "description", "created_at"]


class NamespaceEnsuredSerializer(NamespaceSerializer):
    """The namespace as it is, and whether it was `created`."""

    status = serializers.CharField()
    created = serializers.BooleanField()

    class Meta(NamespaceSerializer.Meta):
        fields = ["status", "created", *NamespaceSerializer.Meta.fields]


class NamespaceWishSerializer(ExactSerializer):
    """A namespace that shall be there."""

    name = serializers.RegexField(r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100)
    owner = serializers.CharField(max_length=100, required=False, allow_blank=True, allow_null=True)
    description = serializers.CharField(required=False, allow_blank=True, default="")


class NamespaceViewSet(ReadOnlyModelViewSet[Namespace]):
    """Namespaces by name."""

    queryset = Namespace.objects.order_by("name")
    serializer_class = NamespaceSerializer
    filterset_fields = ["owner"]
    search_fields = ["name", "description"]
    lookup_field = "name"
    lookup_value_regex = "[^/]+"

    @extend_schema(
        request=NamespaceWishSerializer,
        responses={200: NamespaceEnsuredSerializer, 201: NamespaceEnsuredSerializer},
    )
    @action(detail=False, methods=["post"])
    def ensure(self, request: Request) -> Response:
        """Make the namespace if it is not there; answers with it as it is, and whether it was `created`."""
        wish = said_in(request, NamespaceWishSerializer)
        space, created = services.open_namespace(
            wish["name"],
            by=name_of(request),
            owner=wish.get("owner") or "",
            description=wish["description"],
        )
        answer = {"status": SUCCESS, "created": created, **self.get_serializer(space).data}
        return made(answer, created=created)
