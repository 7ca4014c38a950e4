"""Agents, their messages, dead letters, incidents and tokens in the admin: to look at; letters also to be replayed and
discarded, incidents to be acknowledged and cleared, tokens to be revoked.
"""

from __future__ import annotations

from collections.abc import Callable

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ActionForm
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html

from apps.runs.admin import ReadOnlyAdmin
from apps.runs.errors import DomainError

from . import services
from .models import (
    ApiToken,
    AppLog,
    DaqCheckpoint,
    DeadLetter,
    InboundMessage,
    Incident,
    LoginMark,
    Subscriber,
    SystemAgent,
)


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


class ReasonForm(ActionForm):
    """The bar of actions, with a field for why."""

    reason = forms.CharField(required=False, label="Reason (to discard or clear):")


@admin.register(DeadLetter)
class DeadLetterAdmin(ReadOnlyAdmin):
    list_display = ["id", "state", "agent", "msg_type", "reason", "parked_at", "replays"]
    list_filter = ["state", "agent", "msg_type"]
    search_fields = ["reason", "body", "=msg_id"]
    fields = [
        "state",
        "agent",
        "msg_type",
        "msg_id",
        "reason",
        "parked_at",
        "shown_body",
        "replays",
        "replay_requested_at",
        "replay_requested_by",
        "replayed_at",
        "discarded_at",
        "discarded_by",
        "discarded_reason",
    ]
    readonly_fields = ["shown_body"]
    action_form = ReasonForm
    actions = ["replay", "discard"]

    @admin.display(description="Body")
    def shown_body(self, letter: DeadLetter) -> str:
        """The body with one field a line if it is JSON, else as it came."""
        return format_html("<pre>{}</pre>", letter.readable_body)

    @admin.action(description="Replay selected", permissions=["act"])
    def replay(self, request: HttpRequest, letters: QuerySet[DeadLetter]) -> None:
        """Have the chosen letters given to their agents again; if one cannot be, none is."""
        ids = list(letters.values_list("pk", flat=True))
        _do(
            self,
            request,
            lambda by: services.request_replay(ids, by=by),
            f"of {len(ids)} messages will be replayed.",
        )

    @admin.action(description="Discard selected", permissions=["act"])
    def discard(self, request: HttpRequest, letters: QuerySet[DeadLetter]) -> None:
        """Set the chosen letters aside, with the reason that is typed beside the action."""
        ids, reason = list(letters.values_list("pk", flat=True)), request.POST.get("reason", "")
        _do(
            self,
            request,
            lambda by: services.discard(ids, by=by, reason=reason),
            f"of {len(ids)} messages discarded.",
        )

    def has_act_permission(self, request: HttpRequest) -> bool:
        """Whoever may change dead letters, as far as services let anybody."""
        return request.user.has_perm("agents.change_deadletter")


@admin.register(Incident)
class IncidentAdmin(ReadOnlyAdmin):
    list_display = ["id", "state", "kind", "subject", "run", "reason", "opened_at", "acknowledged_by"]
    list_filter = ["state", "kind"]
    list_select_related = ["run"]
    search_fields = ["subject", "reason", "=run__run_number"]
    action_form = ReasonForm
    actions = ["acknowledge", "clear"]

    @admin.action(description="Acknowledge selected", permissions=["act"])
    def acknowledge(self, request: HttpRequest, incidents: QuerySet[Incident]) -> None:
        """Say that somebody looks after the chosen incidents."""
        ids = list(incidents.values_list("pk", flat=True))
        _do(
            self,
            request,
            lambda by: services.acknowledge(ids, by=by),
            f"of {len(ids)} incidents acknowledged.",
        )

    @admin.action(description="Clear selected", permissions=["act"])
    def clear(self, request: HttpRequest, incidents: QuerySet[Incident]) -> None:
        """Say that the chosen incidents are over, with the reason that is typed beside the action."""
        ids, reason = list(incidents.values_list("pk", flat=True)), request.POST.get("reason", "")
        _do(
            self,
            request,
            lambda by: services.clear(ids, by=by, reason=reason),
            f"of {len(ids)} incidents cleared.",
        )

    def has_act_permission(self, request: HttpRequest) -> bool:
        """Whoever may change incidents, as far as services let anybody."""
        return request.user.has_perm("agents.change_incident")


@admin.register(LoginMark)
class LoginMarkAdmin(ReadOnlyAdmin):
    list_display = ["key", "until"]
    search_fields = ["key"]


@admin.register(DaqCheckpoint)
class DaqCheckpointAdmin(ReadOnlyAdmin):
    list_display = ["run", "phase", "period", "next_sequence", "command", "command_reason"]
    list_filter = ["phase", "command"]
    list_select_related = ["run"]
    search_fields = ["=run__run_number"]


@admin.register(ApiToken)
class ApiTokenAdmin(ReadOnlyAdmin):
    list_display = [
        "name",
        "user",
        "scopes",
        "namespace",
        "created_at",
        "expires_at",
        "last_used_at",
        "revoked_at",
        "revoked_by",
    ]
    list_filter = ["namespace", ("revoked_at", admin.EmptyFieldListFilter)]
    list_select_related = ["user", "namespace"]
    search_fields = ["name", "user__username"]
    exclude = ["key_hash"]
    actions = ["revoke"]

    @admin.action(description="Revoke selected", permissions=["revoke"])
    def revoke(self, request: HttpRequest, tokens: QuerySet[ApiToken]) -> None:
        """Let nobody in by the chosen tokens any more."""
        ids = list(tokens.values_list("pk", flat=True))
        _do(self, request, lambda by: services.revoke_tokens(ids, by=by), f"of {len(ids)} tokens revoked.")

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        """Whoever may change tokens, as far as services let anybody."""
        return request.user.has_perm("agents.change_apitoken")


def _do(admin: ReadOnlyAdmin, request: HttpRequest, act: Callable[[str], int], words: str) -> None:
    """Act in the name of the user, and say how many it was, or why it could not be done."""
    try:
        done = act(request.user.get_username())
    except DomainError as error:
        admin.message_user(request, str(error), messages.ERROR)
    else:
        admin.message_user(request, f"{done} {words}", messages.SUCCESS)


@admin.register(AppLog)
class AppLogAdmin(ReadOnlyAdmin):
    list_display = ["timestamp", "levelname", "app_name", "instance_name", "run_number", "message"]
    list_filter = ["levelname"]
    search_fields = ["=app_name", "=instance_name", "=run_number"]


@admin.register(Subscriber)
class SubscriberAdmin(ReadOnlyAdmin):
    list_display = ["subscriber_name", "is_active", "delivery_type", "fraction", "updated_at"]
    list_filter = ["is_active", "delivery_type"]
    search_fields = ["subscriber_name"]
