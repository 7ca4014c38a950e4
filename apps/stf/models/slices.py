"""Fast processing: the slices of TF files, and the workers that process them."""

from __future__ import annotations

from uuid import uuid4

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from apps.runs.models import Namespace, Run

from ..choices import BacklogPolicy, SliceState, WorkerStatus
from .sampling import FastMonFile


class FastRun(models.Model):
    """The fast path of a run: how many workers it wants, what its backlog may do, and exact counts.

    The counts move in the transactions that change what they count; `slices_created` is the sum of the five after it.
    """

    run = models.OneToOneField(Run, models.PROTECT, related_name="fast")
    backlog_policy = models.CharField(max_length=20, choices=BacklogPolicy)
    policy_changed_by = models.CharField(max_length=100, blank=True)
    target_worker_count = models.PositiveIntegerField()
    wanted_worker_count = models.PositiveIntegerField(default=0, help_text="By backlog and slice time, now")
    dispatching_since = models.DateTimeField(
        null=True, blank=True, help_text="When the first worker was up: no slice is dispatched before"
    )
    drained_at = models.DateTimeField(null=True, blank=True, help_text="Ended, and no slice is left")
    visiting = models.BooleanField(
        default=False,
        help_text="Another system's agent makes its TF files; slices are given out over REST only",
    )

    stf_samples_received = models.PositiveIntegerField(default=0)
    stf_samples_skipped = models.PositiveIntegerField(default=0)
    slices_created = models.PositiveIntegerField(default=0)
    slices_queued = models.PositiveIntegerField(default=0)
    slices_claimed = models.PositiveIntegerField(default=0)
    slices_done = models.PositiveIntegerField(default=0)
    slices_failed = models.PositiveIntegerField(default=0)
    slices_skipped = models.PositiveIntegerField(default=0)
    processing_seconds = models.FloatField(default=0, help_text="Sum over the slices that are done")

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(
                    slices_created=F("slices_queued")
                    + F("slices_claimed")
                    + F("slices_done")
                    + F("slices_failed")
                    + F("slices_skipped")
                ),
                name="fast_run_counts_add_up",
            ),
            models.CheckConstraint(
                condition=Q(backlog_policy__in=BacklogPolicy.values), name="fast_run_policy_known"
            ),
        ]
        indexes = [
            models.Index(fields=["run"], condition=Q(drained_at__isnull=True), name="fast_run_at_work"),
        ]

    def __str__(self) -> str:
        return f"fast path of run {self.run}"


class TFSlice(models.Model):
    """A few consecutive TFs of a TF file, for one worker. The slices of a file cover it without gap or overlap: a trigger
    refuses anything else.

    Claimed means given out under a lease; `assigned_worker` is known from when the worker says so. `retries` counts the
    tries that came to nothing.
    """

    fastmon_file = models.ForeignKey(FastMonFile, models.PROTECT, related_name="slices", db_index=False)
    run = models.ForeignKey(Run, models.PROTECT, related_name="slices", db_index=False)
    slice_id = models.PositiveIntegerField(help_text="Position in its TF file, from 0")
    req_id = models.UUIDField(default=uuid4, unique=True, editable=False)
    tf_first = models.PositiveBigIntegerField()
    tf_last = models.PositiveBigIntegerField()
    tf_count = models.PositiveIntegerField(help_text="Length of the range")
    status = models.CharField(max_length=20, choices=SliceState, default=SliceState.QUEUED)
    reason = models.TextField(blank=True, help_text="Last error, or why it was skipped")
    retries = models.PositiveSmallIntegerField(default=0)
    assigned_worker = models.CharField(max_length=100, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    assigned_at = models.DateTimeField(
        null=True, blank=True, help_text="When it was given out, the last time"
    )
    lease_until = models.DateTimeField(null=True, blank=True)
    completed_at = models.DateTimeField(null=True, blank=True)
    processing_seconds = models.FloatField(null=True, blank=True)
    result = models.JSONField(null=True, blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["fastmon_file", "slice_id"], name="slice_unique"),
            models.UniqueConstraint(fields=["fastmon_file", "tf_first"], name="slice_start_unique"),
            models.CheckConstraint(condition=Q(status__in=SliceState.values), name="slice_state_known"),
            models.CheckConstraint(
                condition=Q(tf_count=F("tf_last") - F("tf_first") + 1, tf_count__gte=1),
                name="slice_count_is_range",
            ),
            models.CheckConstraint(
                condition=Q(status="claimed", lease_until__isnull=False, assigned_at__isnull=False)
                | (~Q(status="claimed") & Q(lease_until__isnull=True)),
                name="slice_claimed_has_lease",
            ),
            models.CheckConstraint(
                condition=Q(status__in=["queued", "claimed"], completed_at__isnull=True)
                | Q(status__in=["done", "failed", "skipped"], completed_at__isnull=False),
                name="slice_completed_has_time",
            ),
            models.CheckConstraint(
                condition=~Q(status__in=["failed", "skipped"]) | ~Q(reason=""), name="slice_failed_has_reason"
            ),
        ]
        indexes = [
            models.Index(fields=["run", "id"], condition=Q(status="queued"), name="slice_queued"),
            models.Index(fields=["lease_until"], condition=Q(status="claimed"), name="slice_leased"),
            models.Index(fields=["run", "id"], name="slice_of_run"),
            models.Index(fields=["completed_at"], condition=Q(status="done"), name="slice_done_lately"),
            models.Index(
                fields=["run"], condition=Q(status__in=["failed", "skipped"]), name="slice_unprocessed"
            ),
        ]

    def __str__(self) -> str:
        return f"slice {self.slice_id} of {self.fastmon_file}"


class Worker(models.Model):
    """A process that takes slices, as its last heartbeat described it."""

    worker_id = models.CharField(max_length=100, unique=True)
    namespace = models.ForeignKey(
        Namespace,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        db_index=False,
        help_text="Those of this testbed's own serve all runs; of old ones it is not known",
    )
    location = models.CharField(max_length=250, blank=True, help_text="Host name")
    pid = models.PositiveIntegerField(null=True, blank=True)
    panda_id = models.BigIntegerField(null=True, blank=True, help_text="Of the PanDA job that it is")
    status = models.CharField(max_length=20, choices=WorkerStatus, default=WorkerStatus.READY)
    current_slice = models.ForeignKey(
        TFSlice, models.SET_NULL, null=True, blank=True, related_name="+", db_index=False
    )
    slices_completed = models.PositiveIntegerField(default=0)
    slices_failed = models.PositiveIntegerField(default=0)
    started_at = models.DateTimeField(default=timezone.now)
    last_heartbeat = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True, blank=True)
    end_reason = models.TextField(blank=True)

    class Meta:
        ordering = ["-started_at"]
        constraints = [
            models.CheckConstraint(condition=Q(status__in=WorkerStatus.values), name="worker_status_known"),
            models.CheckConstraint(
                condition=Q(status__in=["ended", "lost"], ended_at__isnull=False)
                | (~Q(status__in=["ended", "lost"]) & Q(ended_at__isnull=True)),
                name="worker_ended_has_time",
            ),
        ]
        indexes = [
            models.Index(fields=["last_heartbeat"], condition=Q(ended_at__isnull=True), name="worker_up"),
        ]

    def __str__(self) -> str:
        return self.worker_id


class WorkerTask(models.Model):
    """A PanDA task without input whose jobs are workers: as many as were missing when it was made. Submitted once."""

    run = models.ForeignKey(Run, models.PROTECT, related_name="worker_tasks")
    task_name = models.CharField(max_length=250, unique=True)
    site = models.CharField(max_length=60)
    jobs = models.PositiveIntegerField(help_text="How many workers it was made for")
    open_jobs = models.PositiveIntegerField(help_text="How many of them may still come or are at work")
    jedi_task_id = models.BigIntegerField(null=True, blank=True, unique=True)
    reason = models.TextField(blank=True, help_text="Why it cannot be submitted, or why it ended")
    created_at = models.DateTimeField(default=timezone.now)
    submitting_at = models.DateTimeField(
        null=True, blank=True, help_text="When it was first tried to submit it"
    )
    submitted_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(jedi_task_id__isnull=True) | Q(submitted_at__isnull=False),
                name="worker_task_submitted_has_time",
            ),
            models.CheckConstraint(condition=Q(open_jobs__lte=F("jobs")), name="worker_task_no_more_open"),
        ]
        indexes = [
            models.Index(fields=["run"], condition=Q(ended_at__isnull=True), name="worker_task_open"),
        ]

    def __str__(self) -> str:
        return self.task_name
