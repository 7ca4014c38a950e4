"""Processing over REST: to be read; operators mark sites down and up, hold it, and have tasks commanded."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.viewsets import ReadOnlyModelViewSet

from apps.runs.api.fields import NUMBER_PATTERN
from apps.runs.api.views import RunViewSet as ReadOnlyRunViewSet

from .. import services
from ..choices import TaskCommand
from ..filters import (
    BrakeFilter,
    DecisionBoxFilter,
    ProcessingJobFilter,
    ProcessingOutputFilter,
    ProcessingSiteFilter,
    ProcessingTaskFilter,
    StfProcessingFilter,
)
from ..models import (
    Brake,
    DecisionBox,
    ProcessingJob,
    ProcessingOutput,
    ProcessingSite,
    ProcessingTask,
    StfProcessing,
)
from ..selectors import job_list, output_list, processing_list, site_list, task_list
from ..selectors.progress import box_list, brake_list
from .processing_serializers import (
    BrakeSerializer,
    BrakeWishSerializer,
    CommandWishSerializer,
    DecisionBoxSerializer,
    PolicyWishSerializer,
    ProcessingJobSerializer,
    ProcessingOutputSerializer,
    ProcessingSiteSerializer,
    ProcessingTaskSerializer,
    ReasonSerializer,
    StfProcessingSerializer,
)
from .run_actions import RunActions
from .run_views import RunWrites


class ProcessingSiteViewSet(ReadOnlyModelViewSet[ProcessingSite]):
    """Processing sites by name."""

    queryset = site_list()
    serializer_class = ProcessingSiteSerializer
    filterset_class = ProcessingSiteFilter
    lookup_field = "name"
    lookup_value_regex = "[^/]+"

    @extend_schema(request=ReasonSerializer)
    @action(detail=True, methods=["post"])
    def down(self, request: Request, name: str) -> Response:
        """Give the site no more STFs, for a `reason`; answers with the site."""
        site = services.site_down(name, by=_name_of(request), **_wish(request, ReasonSerializer))
        return Response(self.get_serializer(site).data)

    @extend_schema(request=ReasonSerializer)
    @action(detail=True, methods=["post"])
    def up(self, request: Request, name: str) -> Response:
        """Let the site have its STFs again, for a `reason`; answers with the site."""
        site = services.site_up(name, by=_name_of(request), **_wish(request, ReasonSerializer))
        return Response(self.get_serializer(site).data)


class ProcessingTaskViewSet(ReadOnlyModelViewSet[ProcessingTask]):
    """PanDA's tasks, newest first. What is asked of one is carried out by the processing agent."""

    queryset = task_list()
    serializer_class = ProcessingTaskSerializer
    filterset_class = ProcessingTaskFilter
    lookup_value_regex = NUMBER_PATTERN

    @extend_schema(request=CommandWishSerializer, responses={202: ProcessingTaskSerializer})
    @action(detail=True, methods=["post"])
    def kill(self, request: Request, pk: str) -> Response:
        """Have PanDA abort the task with its jobs; answers with the task."""
        return self._command(request, TaskCommand.KILL)

    @extend_schema(request=CommandWishSerializer, responses={202: ProcessingTaskSerializer})
    @action(detail=True, methods=["post"])
    def finish(self, request: Request, pk: str) -> Response:
        """Have PanDA end the task with what is processed; answers with the task."""
        return self._command(request, TaskCommand.FINISH)

    @extend_schema(request=CommandWishSerializer, responses={202: ProcessingTaskSerializer})
    @action(detail=True, methods=["post"])
    def retry(self, request: Request, pk: str) -> Response:
        """Have PanDA try again what has failed, once the task has ended; answers with the task."""
        return self._command(request, TaskCommand.RETRY)

    @extend_schema(request=CommandWishSerializer, responses={202: ProcessingTaskSerializer})
    @action(detail=True, methods=["post"])
    def reload(self, request: Request, pk: str) -> Response:
        """Have PanDA look at the task's input again, once it has ended; answers with the task."""
        return self._command(request, TaskCommand.RELOAD)

    def _command(self, request: Request, command: TaskCommand) -> Response:
        task = self.get_object()
        wish = _wish(request, CommandWishSerializer)
        task = services.request_command(task.run.run_number, task.site, command, by=_name_of(request), **wish)
        return Response(self.get_serializer(task).data, status=status.HTTP_202_ACCEPTED)


class ProcessingJobViewSet(ReadOnlyModelViewSet[ProcessingJob]):
    """PanDA's jobs with what they read and made, newest first, by PandaID."""

    queryset = job_list()
    serializer_class = ProcessingJobSerializer
    filterset_class = ProcessingJobFilter
    lookup_field = "panda_id"
    lookup_value_regex = NUMBER_PATTERN


class StfProcessingViewSet(ReadOnlyModelViewSet[StfProcessing]):
    """What becomes of each STF at each of its sites, newest first."""

    queryset = processing_list()
    serializer_class = StfProcessingSerializer
    filterset_class = StfProcessingFilter


class ProcessingOutputViewSet(ReadOnlyModelViewSet[ProcessingOutput]):
    """Files that jobs have made, newest first."""

    queryset = output_list()
    serializer_class = ProcessingOutputSerializer
    filterset_class = ProcessingOutputFilter


class DecisionBoxViewSet(ReadOnlyModelViewSet[DecisionBox]):
    """The decision boxes of runs, newest first, by run number; `runs/<number>/policy/` changes one."""

    queryset = box_list()
    serializer_class = DecisionBoxSerializer
    filterset_class = DecisionBoxFilter
    lookup_field = "run__run_number"
    lookup_url_kwarg = "run_number"
    lookup_value_regex = NUMBER_PATTERN


class BrakeViewSet(ReadOnlyModelViewSet[Brake]):
    """Brakes, on and off; `on` and `off` are about the one of all runs, `runs/<number>/brake/` about that of a run."""

    queryset = brake_list()
    serializer_class = BrakeSerializer
    filterset_class = BrakeFilter

    @extend_schema(request=BrakeWishSerializer)
    @action(detail=False, methods=["post"])
    def on(self, request: Request) -> Response:
        """Hold the processing of all runs, for a `reason`; with `cancel`, kill running jobs too."""
        return _brake_on(request, None)

    @extend_schema(request=ReasonSerializer)
    @action(detail=False, methods=["post"])
    def off(self, request: Request) -> Response:
        """Let the processing of all runs go on, for a `reason`; brakes of single runs stay."""
        return _brake_off(request, None)


class RunViewSet(RunActions, RunWrites, ReadOnlyRunViewSet):
    """Runs, newest first, by their number; other DAQs announce theirs here. With what operators may do with them."""

    @extend_schema(request=PolicyWishSerializer, responses=DecisionBoxSerializer)
    @action(detail=True, methods=["post"])
    def policy(self, request: Request, run_number: str) -> Response:
        """Change the policy of the decision box: `policy`, and if they change `sites` and `rules`; answers with the box."""
        wish = _wish(request, PolicyWishSerializer)
        box = services.set_policy(int(run_number), wish.pop("policy"), by=_name_of(request), **wish)
        return Response(DecisionBoxSerializer(box).data)

    @extend_schema(request=BrakeWishSerializer, responses=BrakeSerializer)
    @action(detail=True, methods=["post"], url_path="brake/on")
    def brake_on(self, request: Request, run_number: str) -> Response:
        """Hold the processing of the run, for a `reason`; with `cancel`, kill running jobs too."""
        return _brake_on(request, int(run_number))

    @extend_schema(request=ReasonSerializer, responses=BrakeSerializer)
    @action(detail=True, methods=["post"], url_path="brake/off")
    def brake_off(self, request: Request, run_number: str) -> Response:
        """Let the processing of the run go on, for a `reason`; a brake of all runs stays."""
        return _brake_off(request, int(run_number))


def _brake_on(request: Request, run_number: int | None) -> Response:
    wish = _wish(request, BrakeWishSerializer)
    return Response(BrakeSerializer(services.brake_on(run_number, by=_name_of(request), **wish)).data)


def _brake_off(request: Request, run_number: int | None) -> Response:
    wish = _wish(request, ReasonSerializer)
    return Response(BrakeSerializer(services.brake_off(run_number, by=_name_of(request), **wish)).data)


def _wish(request: Request, serializer: type[Serializer]) -> dict[str, Any]:  # type: ignore[type-arg]
    """What the body says, checked."""
    wish = serializer(data=request.data)
    wish.is_valid(raise_exception=True)
    return dict(wish.validated_data)


def _name_of(request: Request) -> str:
    return request.user.get_username()
