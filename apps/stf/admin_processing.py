"""Processing in the admin: to look at; sites, tasks and brakes also to be told what to do, by the services."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ActionForm
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.runs.admin import ReadOnlyAdmin
from apps.runs.errors import DomainError

from . import services
from .choices import TaskCommand
from .models import (
    Brake,
    DecisionBox,
    ProcessingJob,
    ProcessingOutput,
    ProcessingSite,
    ProcessingTask,
    StfProcessing,
)


class ReasonForm(ActionForm):
    """The bar of actions, with a field for why."""

    reason = forms.CharField(required=False, label="Reason:")


class CommandedAdmin(ReadOnlyAdmin):
    """Rows that whoever may change them can have changed by actions, with the reason typed beside them."""

    action_form = ReasonForm

    def has_act_permission(self, request: HttpRequest) -> bool:
        """Whoever may change these rows, as far as services let anybody."""
        options = self.opts
        return request.user.has_perm(f"{options.app_label}.change_{options.model_name}")

    def _do(
        self, request: HttpRequest, rows: QuerySet[Any], act: Callable[[Any, str, str], object], words: str
    ) -> None:
        """Do it with each of the rows; what is refused is told, the others are done."""
        by, reason = request.user.get_username(), request.POST.get("reason", "").strip()
        for row in rows:
            try:
                act(row, by, reason)
            except DomainError as error:
                self.message_user(request, str(error), messages.ERROR)
            else:
                self.message_user(request, f"{row} {words}", messages.SUCCESS)


@admin.register(ProcessingSite)
class ProcessingSiteAdmin(CommandedAdmin):
    list_display = ["name", "panda_queue", "is_down", "down_reason", "changed_by", "changed_at"]
    list_filter = ["is_down"]
    search_fields = ["name", "panda_queue"]
    actions = ["mark_down", "mark_up"]

    @admin.action(description="Mark down", permissions=["act"])
    def mark_down(self, request: HttpRequest, sites: QuerySet[ProcessingSite]) -> None:
        """Give the chosen sites no more STFs."""
        self._do(
            request,
            sites,
            lambda site, by, reason: services.site_down(site.name, by=by, reason=reason),
            "is down.",
        )

    @admin.action(description="Mark up", permissions=["act"])
    def mark_up(self, request: HttpRequest, sites: QuerySet[ProcessingSite]) -> None:
        """Let the chosen sites have their STFs again."""
        self._do(
            request,
            sites,
            lambda site, by, reason: services.site_up(site.name, by=by, reason=reason),
            "is up.",
        )


@admin.register(ProcessingTask)
class ProcessingTaskAdmin(CommandedAdmin):
    list_display = ["task_name", "site", "jedi_task_id", "status", "reason", "command", "command_outcome"]
    list_filter = ["site", "status", "is_open"]
    list_select_related = ["run"]
    search_fields = ["=run__run_number", "=jedi_task_id", "task_name"]
    ordering = ["-pk"]
    actions = ["kill", "finish", "retry", "reload"]

    @admin.action(description="Kill", permissions=["act"])
    def kill(self, request: HttpRequest, tasks: QuerySet[ProcessingTask]) -> None:
        """Have PanDA abort the chosen tasks with their jobs."""
        self._command(request, tasks, TaskCommand.KILL)

    @admin.action(description="Finish", permissions=["act"])
    def finish(self, request: HttpRequest, tasks: QuerySet[ProcessingTask]) -> None:
        """Have PanDA end the chosen tasks with what is processed."""
        self._command(request, tasks, TaskCommand.FINISH)

    @admin.action(description="Retry", permissions=["act"])
    def retry(self, request: HttpRequest, tasks: QuerySet[ProcessingTask]) -> None:
        """Have PanDA try again what has failed."""
        self._command(request, tasks, TaskCommand.RETRY)

    @admin.action(description="Reload input", permissions=["act"])
    def reload(self, request: HttpRequest, tasks: QuerySet[ProcessingTask]) -> None:
        """Have PanDA look at the input of the chosen tasks again."""
        self._command(request, tasks, TaskCommand.RELOAD)

    def _command(self, request: HttpRequest, tasks: QuerySet[ProcessingTask], command: TaskCommand) -> None:
        def ask(task: ProcessingTask, by: str, reason: str) -> None:
            services.request_command(task.run.run_number, task.site, command, by=by, reason=reason)

        self._do(request, tasks.select_related("run"), ask, f"will be told to {command}.")


@admin.register(Brake)
class BrakeAdmin(CommandedAdmin):
    list_display = ["__str__", "is_on", "cancel", "by", "reason", "since"]
    list_filter = ["is_on"]
    list_select_related = ["run"]
    search_fields = ["=run__run_number", "by", "reason"]
    actions = ["put_on", "take_off"]

    @admin.action(description="Put on", permissions=["act"])
    def put_on(self, request: HttpRequest, brakes: QuerySet[Brake]) -> None:
        """Hold processing again where these brakes did; running jobs may end."""
        self._do(
            request,
            brakes.select_related("run"),
            lambda brake, by, reason: services.brake_on(_run_number(brake), by=by, reason=reason),
            "before, is on.",
        )

    @admin.action(description="Take off", permissions=["act"])
    def take_off(self, request: HttpRequest, brakes: QuerySet[Brake]) -> None:
        """Let processing go on where these brakes hold it."""
        self._do(
            request,
            brakes.select_related("run"),
            lambda brake, by, reason: services.brake_off(_run_number(brake), by=by, reason=reason),
            "before, is off.",
        )


@admin.register(DecisionBox)
class DecisionBoxAdmin(ReadOnlyAdmin):
    list_display = ["run", "policy", "sites", "rules", "changed_by", "changed_at"]
    list_filter = ["policy"]
    list_select_related = ["run"]
    search_fields = ["=run__run_number"]
    ordering = ["-pk"]


@admin.register(StfProcessing)
class StfProcessingAdmin(ReadOnlyAdmin):
    list_display = ["stf", "site", "chosen_site", "state", "attempts", "reason", "changed_at"]
    list_filter = ["state", "site"]
    list_select_related = ["stf"]
    search_fields = ["=stf__stf_filename", "=run__run_number"]
    ordering = ["-pk"]


@admin.register(ProcessingJob)
class ProcessingJobAdmin(ReadOnlyAdmin):
    list_display = ["panda_id", "task", "status", "attempt_nr", "reason", "created_at", "ended_at"]
    list_filter = ["status", "task__site"]
    list_select_related = ["task"]
    search_fields = ["=panda_id", "=task__jedi_task_id", "=task__run__run_number"]
    ordering = ["-panda_id"]


@admin.register(ProcessingOutput)
class ProcessingOutputAdmin(ReadOnlyAdmin):
    list_display = ["name", "rse", "job", "size_bytes", "checksum", "registered_at", "reason"]
    list_filter = ["rse"]
    list_select_related = ["job"]
    search_fields = ["=name", "=job__panda_id", "=job__task__run__run_number"]
    ordering = ["-pk"]


def _run_number(brake: Brake) -> int | None:
    return brake.run.run_number if brake.run else None
