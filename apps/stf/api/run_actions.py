"""What operators may do with a run over REST, by the services that pages and bus use."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from apps.runs import services as runs
from apps.runs.api.preconditions import tagged
from apps.runs.api.requests import name_of, said_in
from apps.runs.api.serializers import RunSerializer
from apps.runs.models import Run

from .. import services
from .processing_serializers import CommandWishSerializer, ReasonSerializer


class RunActions(GenericViewSet[Run]):
    """`POST runs/<number>/pause/` and its like, for a view of runs. All answer with the run, 202."""

    @extend_schema(request=CommandWishSerializer, responses={202: RunSerializer})
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, run_number: str) -> Response:
        """Ask the DAQ to take no data until it is told to resume; `reason` if it is to be told."""
        return _control(request, run_number, "pause")

    @extend_schema(request=CommandWishSerializer, responses={202: RunSerializer})
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, run_number: str) -> Response:
        """Ask the DAQ to go on; `reason` if it is to be told."""
        return _control(request, run_number, "resume")

    @extend_schema(request=CommandWishSerializer, responses={202: RunSerializer})
    @action(detail=True, methods=["post"])
    def stop(self, request: Request, run_number: str) -> Response:
        """Ask the DAQ to end the run after the STF in the making; `reason` if it is to be told."""
        return _control(request, run_number, "stop")

    @extend_schema(request=CommandWishSerializer, responses={202: RunSerializer})
    @action(detail=True, methods=["post"])
    def abort(self, request: Request, run_number: str) -> Response:
        """Ask the DAQ to end the run, which then settles as aborted; `reason` if it is to be told."""
        return _control(request, run_number, "abort")

    @extend_schema(request=CommandWishSerializer, responses={202: RunSerializer})
    @action(detail=True, methods=["post"], url_path="re-evaluate")
    def re_evaluate(self, request: Request, run_number: str) -> Response:
        """Try again what has failed, and prove an ended run anew, now; `reason` if it is to be told."""
        wish = said_in(request, CommandWishSerializer)
        return _accepted(services.reevaluate(int(run_number), by=name_of(request), **wish))

    @extend_schema(request=ReasonSerializer, responses={202: RunSerializer})
    @action(detail=True, methods=["post"], url_path="force-close")
    def force_close(self, request: Request, run_number: str) -> Response:
        """Close a run that has ended and is not complete, for a `reason`; what is missing stays listed."""
        wish = said_in(request, ReasonSerializer)
        return _accepted(services.force_close(int(run_number), by=name_of(request), **wish))


def _control(request: Request, run_number: str, control: runs.Control) -> Response:
    wish: dict[str, Any] = said_in(request, CommandWishSerializer)
    return _accepted(runs.control_run(int(run_number), control, by=name_of(request), **wish))


def _accepted(run: Run) -> Response:
    data = RunSerializer(run).data
    return tagged(data, Response(data, status=status.HTTP_202_ACCEPTED))
