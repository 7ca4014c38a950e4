"""STFs in the admin: to look at, and to try a failed registration once more."""

from __future__ import annotations

from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from apps.runs.admin import ReadOnlyAdmin
from apps.runs.errors import DomainError
from apps.runs.journal import acting_as

from . import admin_fast, admin_processing, services  # noqa: F401 - registers the fast path and processing
from .models import CloseoutProof, Dataset, Replica, StfFile, StfRemark


class ReplicaInline(admin.TabularInline):  # type: ignore[type-arg]
    model = Replica
    fields = ("rse", "state", "reason", "attempts", "retry_at", "verified_at")
    extra = 0

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(StfFile)
class StfFileAdmin(ReadOnlyAdmin):
    list_display = ["stf_filename", "run", "sequence", "registration", "buffer", "size_bytes", "generated_at"]
    list_filter = ["registration", "buffer"]
    list_select_related = ["run"]
    search_fields = ["=stf_filename", "=run__run_number", "=checksum"]
    inlines = [ReplicaInline]
    actions = ["retry_registration"]
    ordering = ["-pk"]

    @admin.action(description="Retry registration", permissions=["retry"])
    def retry_registration(self, request: HttpRequest, stfs: QuerySet[StfFile]) -> None:
        """Let the chosen STFs wait for registration again; those that have not failed are named and left alone."""
        with acting_as(request.user.get_username()):
            for stf in stfs.select_related("run"):
                try:
                    services.retry_registration(stf)
                except DomainError as error:
                    self.message_user(request, str(error), messages.ERROR)
                else:
                    self.message_user(request, f"{stf} waits for registration again.", messages.SUCCESS)

    def has_retry_permission(self, request: HttpRequest) -> bool:
        """Whoever may change STFs, as far as services let anybody."""
        return request.user.has_perm("stf.change_stffile")


@admin.register(Replica)
class ReplicaAdmin(ReadOnlyAdmin):
    list_display = ["stf", "rse", "state", "attempts", "reason", "retry_at", "verified_at"]
    list_filter = ["state", "rse"]
    list_select_related = ["stf"]
    search_fields = ["=stf__stf_filename", "=stf__run__run_number"]
    ordering = ["-pk"]


@admin.register(Dataset)
class DatasetAdmin(ReadOnlyAdmin):
    list_display = ["did", "run", "is_open", "created_at", "closed_at"]
    list_filter = ["is_open"]
    list_select_related = ["run"]
    search_fields = ["=run__run_number", "name"]


@admin.register(CloseoutProof)
class CloseoutProofAdmin(ReadOnlyAdmin):
    list_display = [
        "run",
        "complete",
        "expected",
        "registered",
        "verified",
        "processed",
        "outputs",
        "evaluated_at",
    ]
    list_filter = ["complete"]
    list_select_related = ["run"]
    search_fields = ["=run__run_number"]


@admin.register(StfRemark)
class StfRemarkAdmin(ReadOnlyAdmin):
    list_display = ["stf", "status", "said_by", "said_at"]
    list_filter = ["status"]
    list_select_related = ["stf"]
    search_fields = ["=stf__stf_filename", "=stf__run__run_number"]
