"""Runs in the admin: to look at. States change by services only; what people may set is a namespace's description, and who
may do what."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import User
from django.db.models import Model
from django.http import HttpRequest

from . import services
from .models import (
    Counter,
    IdempotentAnswer,
    Identity,
    JournalCursor,
    JournalEntry,
    JournalStream,
    Membership,
    Namespace,
    Run,
    WorkflowDefinition,
    WorkflowExecution,
)


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # generic for the checker only
    """Shows rows and lets nobody add, change or delete them. Lists do without the count of all rows."""

    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(Namespace)
class NamespaceAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ["name", "owner", "description", "created_at"]
    search_fields = ["name", "owner"]
    readonly_fields = ["name", "created_at"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class MembershipInline(admin.TabularInline):  # type: ignore[type-arg]
    """In which namespaces a user acts."""

    model = Membership
    extra = 0


class IdentityInline(admin.TabularInline):  # type: ignore[type-arg]
    """By whom an identity provider means a user."""

    model = Identity
    extra = 0


admin.site.unregister(User)


@admin.register(User)
class PersonAdmin(UserAdmin):  # type: ignore[type-arg]
    """Users with their roles, which are groups, and their namespaces. Single permissions have no meaning here."""

    list_display = ["username", "email", "is_active", "is_superuser", "last_login"]
    list_filter = ["groups", "is_active"]
    fieldsets = [
        (None, {"fields": ["username", "password"]}),
        ("Personal info", {"fields": ["first_name", "last_name", "email"]}),
        ("What it may do", {"fields": ["is_active", "is_superuser", "groups"]}),
        ("Important dates", {"fields": ["last_login", "date_joined"]}),
    ]
    inlines = [MembershipInline, IdentityInline]

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: Any) -> None:
        """Save groups and namespaces, and say so in the journal."""
        super().save_related(request, form, formsets, change)
        services.note_access(form.instance, by=request.user.get_username())


@admin.register(Membership)
class MembershipAdmin(ReadOnlyAdmin):
    list_display = ["user", "namespace"]
    list_filter = ["namespace"]
    list_select_related = ["user", "namespace"]
    search_fields = ["user__username"]


@admin.register(Identity)
class IdentityAdmin(ReadOnlyAdmin):
    list_display = ["user", "issuer", "subject"]
    list_select_related = ["user"]
    search_fields = ["user__username", "subject"]


@admin.register(Run)
class RunAdmin(ReadOnlyAdmin):
    list_display = ["run_number", "lifecycle", "state", "substate", "namespace", "requested_at", "end_time"]
    list_filter = ["lifecycle", "state", "namespace"]
    list_select_related = ["namespace"]
    search_fields = ["=run_number", "execution__execution_id"]
    date_hierarchy = "requested_at"


@admin.register(WorkflowDefinition)
class WorkflowDefinitionAdmin(ReadOnlyAdmin):
    list_display = ["workflow_name", "version", "workflow_type", "created_by", "created_at"]
    list_filter = ["workflow_name", "workflow_type"]
    search_fields = ["workflow_name", "content_hash"]


@admin.register(WorkflowExecution)
class WorkflowExecutionAdmin(ReadOnlyAdmin):
    list_display = ["execution_id", "workflow_definition", "namespace", "executed_by", "start_time"]
    list_filter = ["namespace", "executed_by"]
    list_select_related = ["workflow_definition", "namespace"]
    search_fields = ["execution_id"]


@admin.register(JournalEntry)
class JournalEntryAdmin(ReadOnlyAdmin):
    list_display = ["position", "occurred_at", "kind", "run", "subject", "actor"]
    list_filter = ["kind"]
    list_select_related = ["run"]
    search_fields = ["=run__run_number", "=subject", "=msg_id", "=correlation_id"]
    ordering = ["-id"]


@admin.register(JournalCursor)
class JournalCursorAdmin(ReadOnlyAdmin):
    list_display = ["follower", "position", "moved_at"]


@admin.register(JournalStream)
class JournalStreamAdmin(ReadOnlyAdmin):
    list_display = ["producer", "run", "last"]
    list_filter = ["producer"]
    list_select_related = ["run"]
    search_fields = ["=run__run_number"]


@admin.register(IdempotentAnswer)
class IdempotentAnswerAdmin(ReadOnlyAdmin):
    list_display = ["key", "status", "created_at"]
    search_fields = ["=key"]


@admin.register(Counter)
class CounterAdmin(ReadOnlyAdmin):
    list_display = ["name", "value"]
    search_fields = ["name"]
