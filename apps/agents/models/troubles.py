"""What went wrong and waits for a person: messages that could not be handled, and incidents."""

from __future__ import annotations

import json
from typing import Any

from django.db import models
from django.db.models import Q
from django.utils import timezone

from apps.runs.models import Run

from ..choices import IncidentKind, IncidentState, LetterState


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
