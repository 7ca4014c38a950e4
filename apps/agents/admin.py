"""Agents, their messages and the dead letters in the admin: to look at; what is dealt with may be deleted."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest

from apps.runs.admin import ReadOnlyAdmin

from .models import DaqCheckpoint, DeadLetter, InboundMessage, SystemAgent


@admin.register(SystemAgent)
class SystemAgentAdmin(ReadOnlyAdmin):
    list_display = [
        "instance_name",
        "agent_type",
        "operational_state",
        "status",
        "description",
        "last_heartbeat",
    ]
    list_filter = ["agent_type", "operational_state", "status"]
    search_fields = ["instance_name", "hostname"]


@admin.register(InboundMessage)
class InboundMessageAdmin(ReadOnlyAdmin):
    list_display = ["msg_type", "agent", "run_number", "outcome", "attempts", "received_at", "finished_at"]
    list_filter = ["agent", "outcome", "msg_type"]
    search_fields = ["=msg_id", "=run_number"]


@admin.register(DeadLetter)
class DeadLetterAdmin(ReadOnlyAdmin):
    list_display = ["parked_at", "agent", "msg_type", "reason"]
    list_filter = ["agent", "msg_type"]
    search_fields = ["reason", "=msg_id"]

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """By Django's own permission: a letter that was dealt with has done its service."""
        return request.user.has_perm("agents.delete_deadletter")


@admin.register(DaqCheckpoint)
class DaqCheckpointAdmin(ReadOnlyAdmin):
    list_display = ["run", "phase", "period", "next_sequence", "command", "command_reason"]
    list_filter = ["phase", "command"]
    list_select_related = ["run"]
    search_fields = ["=run__run_number"]
