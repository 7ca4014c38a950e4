"""The agents, the messages they were given, and how far the simulated DAQ has come."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone

from apps.runs.models import Run

from ..choices import AgentStatus, DaqCommand, DaqPhase, MessageOutcome, OperationalState


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
    registered_by = models.CharField(
        max_length=150, blank=True, help_text="The user whose it is, if it is visiting"
    )
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
    """One message that an agent was given. It is written as done by the transaction that handles it; of one that fails, or
    was delivered before, each attempt is counted before the handler runs, so that one which kills its worker is counted."""

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
