"""Who is let in: tokens, and what is remembered of those who tried."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from apps.runs.models import Namespace

from ..choices import TokenScope


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


class LoginMark(models.Model):
    """What is remembered for a while of tries to log in (`apps.agents.services.guesses`): under `wrong ...` how long wrong
    ones still count, under `<user> at <address>` that a user has logged in from there."""

    key = models.CharField(max_length=250, unique=True)
    until = models.DateTimeField()

    class Meta:
        ordering = ["-until"]

    def __str__(self) -> str:
        return self.key
