"""What programs on other machines leave here: records of their logs, and their subscriptions."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone

from ..choices import Delivery


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
    registered_by = models.CharField(max_length=150, blank=True, help_text="The user whose it is")
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
