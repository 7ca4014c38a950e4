"""`runs/start/`: a run of this testbed's DAQ is asked for over REST."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

from apps.runs.api.preconditions import tagged
from apps.runs.api.requests import ExactSerializer, name_of, said_in
from apps.runs.api.serializers import RunSerializer
from apps.runs.errors import FieldRefused
from apps.runs.models import Run
from apps.runs.selectors import get_run
from apps.runs.workflow import WorkflowError, load_workflow

from ..daqsim.request import request_run, workflow_file


class StartWishSerializer(ExactSerializer):
    """A run that shall be taken."""

    workflow = serializers.CharField(max_length=100, help_text="The name of a file in workflows/")
    parameters = serializers.DictField(
        default=dict, help_text="Replace those of the workflow, by key (stf.size_bytes, or size_bytes)"
    )
    namespace = serializers.RegexField(
        r"^[A-Za-z0-9][A-Za-z0-9_.-]*$",
        max_length=100,
        required=False,
        help_text="One that this testbed serves; its own if left out",
    )


class StartRunView(APIView):
    """`runs/start/`: request a run, as `manage.py start_run` and `run_workflow` on the bus do."""

    in_named_namespace = True

    @extend_schema(request=StartWishSerializer, responses={202: RunSerializer})
    def post(self, request: Request) -> Response:
        """Request a run of a `workflow`, with other `parameters` if they are given; answers with the run, which the DAQ
        takes on as soon as it hears of it."""
        run = _requested(said_in(request, StartWishSerializer), by=name_of(request))
        data = RunSerializer(get_run(run.run_number)).data
        address = reverse("run-detail", [run.run_number], request=request)
        return tagged(data, Response(data, status=status.HTTP_202_ACCEPTED, headers={"Location": address}))


def _requested(wish: dict[str, Any], *, by: str) -> Run:
    try:
        path = workflow_file(wish["workflow"])
    except FieldRefused as error:
        raise ValidationError({error.field: [error.why]}) from error
    namespace = wish.get("namespace") or settings.SWF_NAMESPACE
    try:
        return request_run(load_workflow(path, wish["parameters"]), namespace=namespace, requested_by=by)
    except WorkflowError as error:
        wrong = {problem.key: [problem.why] for problem in error.problems}
        raise ValidationError({"parameters": wrong}) from error
    except FieldRefused as error:
        why = {error.field: [error.why]}
        raise ValidationError(why if error.field == "namespace" else {"parameters": why}) from error
