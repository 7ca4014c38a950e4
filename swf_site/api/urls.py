"""The REST interface: one router over the viewsets of all apps."""

from __future__ import annotations

from django.urls import path
from rest_framework.routers import DefaultRouter

from apps.agents.api import message_views, stf_views
from apps.agents.api import views as agents
from apps.agents.api import visiting_views as visiting
from apps.agents.api.start_views import StartRunView
from apps.runs.api import numbers
from apps.runs.api import views as runs
from apps.runs.api import workflow_views as workflows
from apps.stf.api import fast_views as fast
from apps.stf.api import processing_views as processing
from apps.stf.api import run_views
from apps.stf.api import views as stf
from apps.stf.api.statistics_views import RunStatisticsView

from . import state
from .fastmon import RunFastmonView
from .openapi.views import Root, SchemaView, docs, redoc


class Router(DefaultRouter):
    """With our own root."""

    APIRootView = Root


router = Router()
router.register("runs", processing.RunViewSet, basename="run")
router.register("namespaces", numbers.NamespaceViewSet, basename="namespace")
router.register("workflow-definitions", workflows.WorkflowDefinitionViewSet, basename="workflow-definition")
router.register("workflow-executions", workflows.WorkflowExecutionViewSet, basename="workflow-execution")
router.register("system-state-events", runs.StateEventViewSet, basename="system-state-event")
router.register("workflow-messages", message_views.WorkflowMessageViewSet, basename="workflow-message")
router.register("journal", runs.JournalViewSet, basename="journal")
router.register("run-states", run_views.RunStateViewSet, basename="run-state")
router.register("stf-files", stf_views.StfFileViewSet, basename="stf-file")
router.register("replicas", stf.ReplicaViewSet, basename="replica")
router.register("datasets", stf.DatasetViewSet, basename="dataset")
router.register("decision-boxes", processing.DecisionBoxViewSet, basename="decision-box")
router.register("brakes", processing.BrakeViewSet, basename="brake")
router.register("processing-sites", processing.ProcessingSiteViewSet, basename="processing-site")
router.register("processing-tasks", processing.ProcessingTaskViewSet, basename="processing-task")
router.register("processing-jobs", processing.ProcessingJobViewSet, basename="processing-job")
router.register("stf-processings", processing.StfProcessingViewSet, basename="stf-processing")
router.register("processing-outputs", processing.ProcessingOutputViewSet, basename="processing-output")
router.register("fastmon-samples", fast.FastMonSampleViewSet, basename="fastmon-sample")
router.register("fastmon-files", fast.FastMonFileViewSet, basename="fastmon-file")
router.register("tf-slices", fast.TFSliceViewSet, basename="tf-slice")
router.register("workers", fast.WorkerViewSet, basename="worker")
router.register("worker-tasks", fast.WorkerTaskViewSet, basename="worker-task")
router.register("systemagents", agents.SystemAgentViewSet, basename="systemagent")
router.register("subscribers", visiting.SubscriberViewSet, basename="subscriber")
router.register("logs", visiting.LogViewSet, basename="log")
router.register("incidents", agents.IncidentViewSet, basename="incident")
router.register("dead-letters", agents.DeadLetterViewSet, basename="dead-letter")

urlpatterns = [
    path("state/next-run-number/", numbers.NextRunNumberView.as_view(), name="next-run-number"),
    path("state/next-agent-id/", numbers.NextAgentIdView.as_view(), name="next-agent-id"),
    path(
        "state/next-workflow-execution-id/",
        numbers.NextExecutionIdView.as_view(),
        name="next-workflow-execution-id",
    ),
    path("runs/start/", StartRunView.as_view(), name="run-start"),
    path("runs/<int:run_number>/statistics/", RunStatisticsView.as_view(), name="run-statistics"),
    path("runs/<int:run_number>/state/", state.RunPastView.as_view(), name="run-state-at"),
    path("state/at/", state.SystemPastView.as_view(), name="state-at"),
    path("state/changes/", state.ChangesView.as_view(), name="state-changes"),
    path("runs/<int:run_number>/fastmon/", RunFastmonView.as_view(), name="run-fastmon"),
    path("schema/", SchemaView.as_view(), name="schema"),
    path("docs/", docs, name="docs"),
    path("redoc/", redoc, name="redoc"),
    *router.urls,
]
