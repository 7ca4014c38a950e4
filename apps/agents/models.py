"""Who acts: the agents, the messages they were given, what went wrong, how far the simulated DAQ has come; and of others
their tokens, logs and subscriptions."""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from apps.runs.models import Namespace, Run

from .choices import (
    AgentStatus,
    DaqCommand,
    DaqPhase,
    Delivery,
    IncidentKind,
    IncidentState,
    LetterState,
    MessageOutcome,
    OperationalState,
    TokenScope,
)


class SystemAgent(models.Model):
    """One agent process, as its last heartbeat described it."""

    instance_name = models.CharField(max_length=100, unique=True)
    agent_type = models.CharField(max_length=50)
    operational_state = models.CharField(
        max_length=20, choices=OperationalState, default=OperationalState.STARTING
    )
    status = models.CharField(max_length=20, choices=AgentStatus, default=AgentStatus.OK)
    description = models.TextField(blank=True, help_text="What it waits for, if it waits")
    namespace = models.CharField(max_length=100, blank=True, help_text="As it says it")
    visiting = models.BooleanField(default=False, help_text="It is no agent of this testbed")
    hostname = models.CharField(max_length=250, blank=True)
    pid = models.PositiveIntegerField(null=True, blank=True)
    started_at = models.DateTimeField(default=timezone.now)
    last_heartbeat = models.DateTimeField(default=timezone.now)
    counters = models.JSONField(default=dict, blank=True, help_text="What it has done since it started")

    class Meta:
        ordering = ["instance_name"]
        constraints = [
            models.CheckConstraint(
                condition=Q(operational_state__in=OperationalState.values), name="agent_state_known"
            ),
            models.CheckConstraint(condition=Q(status__in=AgentStatus.values), name="agent_status_known"),
        ]

    def __str__(self) -> str:
        return self.instance_name


class InboundMessage(models.Model):
    """One message in the hands of one agent. Attempts are counted before the handler runs, so that a message which kills
    its worker is counted too."""

    agent = models.CharField(max_length=50)
    msg_id = models.UUIDField()
    msg_type = models.CharField(max_length=60)
    run_number = models.PositiveBigIntegerField(null=True, blank=True)
    attempts = models.PositiveSmallIntegerField(default=1)
    outcome = models.CharField(max_length=20, choices=MessageOutcome, default=MessageOutcome.RECEIVED)
    reason = models.TextField(blank=True)
    received_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["agent", "msg_id"], name="inbound_message_unique"),
            models.CheckConstraint(
                condition=Q(outcome__in=MessageOutcome.values), name="inbound_outcome_known"
            ),
        ]
        indexes = [
            models.Index(
                fields=["agent", "received_at"], condition=Q(outcome="received"), name="inbound_unfinished"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.msg_type} for {self.agent}: {self.outcome}"


def _times(state: LetterState, *, requested: bool, replayed: bool, discarded: bool) -> Q:
    """Which times a letter in this state has."""
    return Q(
        state=state,
        replay_requested_at__isnull=not requested,
        replayed_at__isnull=not replayed,
        discarded_at__isnull=not discarded,
    )


class DeadLetter(models.Model):
    """A message that could not be handled: the original as it came, why, and what became of it. It is never deleted."""

    agent = models.CharField(max_length=50)
    body = models.TextField(help_text="As received")
    msg_type = models.CharField(max_length=100, blank=True)
    msg_id = models.UUIDField(help_text="Its own id, or that of its delivery")
    reason = models.TextField(help_text="Why it was parked, the last time")
    parked_at = models.DateTimeField(default=timezone.now)
    state = models.CharField(max_length=20, choices=LetterState, default=LetterState.OPEN)
    replays = models.PositiveIntegerField(default=0, help_text="How often its agent was given it again")
    replay_requested_at = models.DateTimeField(null=True, blank=True)
    replay_requested_by = models.CharField(max_length=100, blank=True)
    replayed_at = models.DateTimeField(null=True, blank=True)
    discarded_at = models.DateTimeField(null=True, blank=True)
    discarded_by = models.CharField(max_length=100, blank=True)
    discarded_reason = models.TextField(blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(condition=~Q(reason=""), name="dead_letter_has_reason"),
            # A redelivered message is parked once.
            models.UniqueConstraint(fields=["agent", "msg_id"], name="dead_letter_unique"),
            models.CheckConstraint(
                condition=_times(LetterState.OPEN, requested=False, replayed=False, discarded=False)
                | _times(LetterState.REQUESTED, requested=True, replayed=False, discarded=False)
                | _times(LetterState.REPLAYED, requested=True, replayed=True, discarded=False)
                | _times(LetterState.DISCARDED, requested=False, replayed=False, discarded=True),
                name="dead_letter_state_has_its_times",
            ),
            models.CheckConstraint(
                condition=Q(replay_requested_at__isnull=True) | ~Q(replay_requested_by=""),
                name="dead_letter_replay_has_person",
            ),
            models.CheckConstraint(
                condition=Q(discarded_at__isnull=True) | ~Q(discarded_by="") & ~Q(discarded_reason=""),
                name="dead_letter_discard_has_reason",
            ),
        ]
        indexes = [models.Index(fields=["state", "agent", "id"], name="dead_letter_by_state")]

    def __str__(self) -> str:
        return f"{self.msg_type or 'message'}: {self.reason}"

    @property
    def decoded_body(self) -> Any:
        """What the body says as JSON; the text itself where it is none, or nested deeper than can be read."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return self.body

    @property
    def readable_body(self) -> str:
        """The body with one field a line if it is JSON, else as it came."""
        try:
            text = json.dumps(json.loads(self.body), indent=2, ensure_ascii=False)
        except (ValueError, RecursionError):
            return self.body
        # JSON may write half a character, which no page and no terminal takes.
        return text.encode(errors="backslashreplace").decode()


class Incident(models.Model):
    """Something that a person should know of. Opened once for a kind and subject, until it is cleared; never deleted."""

    kind = models.CharField(max_length=40, choices=IncidentKind)
    subject = models.CharField(max_length=250, help_text="What it is about, e.g. an STF's file name")
    run = models.ForeignKey(Run, models.PROTECT, null=True, blank=True, related_name="incidents")
    state = models.CharField(max_length=20, choices=IncidentState, default=IncidentState.OPEN)
    reason = models.TextField(help_text="What was seen")
    opened_at = models.DateTimeField(default=timezone.now)
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    acknowledged_by = models.CharField(max_length=100, blank=True)
    cleared_at = models.DateTimeField(null=True, blank=True)
    cleared_by = models.CharField(max_length=100, blank=True)
    cleared_reason = models.TextField(blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "subject"], condition=~Q(state="cleared"), name="incident_once"
            ),
            models.CheckConstraint(condition=Q(state__in=IncidentState.values), name="incident_state_known"),
            models.CheckConstraint(condition=~Q(reason=""), name="incident_has_reason"),
            models.CheckConstraint(
                condition=Q(state="open", acknowledged_at__isnull=True)
                | Q(state="acknowledged", acknowledged_at__isnull=False)
                | Q(state="cleared"),
                name="incident_acknowledged_has_time",
            ),
            models.CheckConstraint(
                condition=Q(acknowledged_at__isnull=True) | ~Q(acknowledged_by=""),
                name="incident_acknowledged_has_person",
            ),
            models.CheckConstraint(
                condition=Q(cleared_at__isnull=True) & ~Q(state="cleared")
                | Q(state="cleared", cleared_at__isnull=False) & ~Q(cleared_by="") & ~Q(cleared_reason=""),
                name="incident_cleared_has_reason",
            ),
        ]
        indexes = [models.Index(fields=["state", "id"], name="incident_by_state")]

    def __str__(self) -> str:
        return f"{self.kind} {self.subject}: {self.state}"


class DaqCheckpoint(models.Model):
    """How far the simulated DAQ has come with a run: written with every step, so that a killed one goes on where it was.

    `next_sequence` moves from n to n+1 in the transaction that says `stf_gen` n.
    """

    run = models.OneToOneField(Run, models.CASCADE, related_name="daq")
    phase = models.CharField(max_length=20, choices=DaqPhase, default=DaqPhase.REQUESTED)
    phase_started_at = models.DateTimeField(default=timezone.now)
    period = models.PositiveIntegerField(default=0, help_text="Physics periods finished")
    period_first_sequence = models.PositiveIntegerField(default=1)
    next_sequence = models.PositiveIntegerField(default=1)
    command = models.CharField(max_length=20, choices=DaqCommand, default=DaqCommand.NONE, blank=True)
    command_reason = models.TextField(blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(phase__in=DaqPhase.values), name="daq_phase_known"),
            models.CheckConstraint(condition=Q(command__in=DaqCommand.values), name="daq_command_known"),
            models.CheckConstraint(condition=Q(next_sequence__gte=1), name="daq_sequence_from_one"),
        ]
        indexes = [
            models.Index(fields=["run"], condition=~Q(phase="done"), name="daq_at_work"),
        ]

    def __str__(self) -> str:
        return f"run {self.run}: {self.phase}, next STF {self.next_sequence}"


class ApiToken(models.Model):
    """Lets a person or an agent in over REST and the streams, as its user. The token itself is not kept, only its hash."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=100, help_text="What it is for")
    key_hash = models.CharField(max_length=64, unique=True, help_text="SHA-256 of the token")
    scopes = ArrayField(models.CharField(max_length=10, choices=TokenScope))
    # Never to be emptied by a deletion: without a namespace it is good for all.
    namespace = models.ForeignKey(
        Namespace,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="The only one it is good for; all without",
    )
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, help_text="To the minute")
    revoked_at = models.DateTimeField(null=True, blank=True)
    revoked_by = models.CharField(max_length=150, blank=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = "API token"
        constraints = [
            models.CheckConstraint(condition=~Q(name=""), name="token_has_name"),
            models.CheckConstraint(
                condition=Q(scopes__contained_by=TokenScope.values, scopes__len__gt=0),
                name="token_scopes_known",
            ),
            models.CheckConstraint(
                condition=Q(expires_at__isnull=True) | Q(expires_at__gt=F("created_at")),
                name="token_expires_after_creation",
            ),
            models.CheckConstraint(
                condition=Q(revoked_at__isnull=True, revoked_by="")
                | Q(revoked_at__isnull=False) & ~Q(revoked_by=""),
                name="token_revoked_by_somebody",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} of {self.user}"


class AppLog(models.Model):
    """One record of a program's log, as the program sent it over REST. Not kept for ever: `manage.py prune_logs`."""

    app_name = models.CharField(max_length=100)
    instance_name = models.CharField(max_length=100)
    timestamp = models.DateTimeField(help_text="When it was logged")
    received_at = models.DateTimeField(default=timezone.now)
    level = models.PositiveSmallIntegerField(help_text="10 debug, 20 info, 30 warning, 40 error, 50 critical")
    levelname = models.CharField(max_length=20)
    message = models.TextField()
    module = models.CharField(max_length=200, blank=True)
    funcname = models.CharField(max_length=200, blank=True)
    lineno = models.PositiveIntegerField(null=True, blank=True)
    process = models.BigIntegerField(null=True, blank=True)
    thread = models.BigIntegerField(null=True, blank=True)
    run_number = models.PositiveBigIntegerField(null=True, blank=True, help_text="Of run_id in extra_data")
    extra_data = models.JSONField(default=dict, blank=True)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["timestamp"], name="log_by_time"),
            models.Index(fields=["app_name", "instance_name", "id"], name="log_by_instance"),
            models.Index(
                fields=["run_number", "id"], condition=Q(run_number__isnull=False), name="log_by_run"
            ),
            models.Index(fields=["timestamp"], condition=Q(level__gte=40), name="log_errors"),
        ]

    def __str__(self) -> str:
        return f"{self.levelname} {self.instance_name}: {self.message[:80]}"


class Subscriber(models.Model):
    """Somebody who is sent messages, as it registered itself. What it is sent, the broker or the stream decides."""

    subscriber_name = models.CharField(max_length=255, unique=True)
    description = models.TextField(blank=True)
    is_active = models.BooleanField(default=True)
    fraction = models.FloatField(default=1.0, help_text="Of the messages, as it says; nothing is thinned out")
    delivery_type = models.CharField(max_length=20, choices=Delivery, default=Delivery.ACTIVEMQ)
    message_filters = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["subscriber_name"]
        constraints = [
            models.CheckConstraint(
                condition=Q(fraction__gte=0, fraction__lte=1), name="subscriber_fraction_in_range"
            ),
            models.CheckConstraint(
                condition=Q(delivery_type__in=Delivery.values), name="subscriber_delivery_known"
            ),
        ]

    def __str__(self) -> str:
        return self.subscriber_name
