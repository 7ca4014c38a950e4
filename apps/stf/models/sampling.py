"""Fast monitoring: what was sampled of each STF, its TF files, and the histograms of it.

Nothing here is kept from the complete stream, and nothing there waits for this.
"""

from __future__ import annotations

from uuid import uuid4

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from apps.runs.models import Run

from ..choices import SampleState, Slicing, TfFileStatus
from .archiving import StfFile


class FastMonSample(models.Model):
    """What fast monitoring made of one STF. Made when `stf_ready` arrives; decided once."""

    stf = models.OneToOneField(StfFile, models.PROTECT, related_name="sample")
    run = models.ForeignKey(Run, models.PROTECT, related_name="samples", db_index=False)
    sequence = models.PositiveIntegerField(help_text="That of the STF")
    state = models.CharField(max_length=20, choices=SampleState, default=SampleState.WAITING)
    reason = models.TextField(blank=True, help_text="Why it was skipped or failed")
    announced_at = models.DateTimeField(default=timezone.now)
    decided_at = models.DateTimeField(null=True, blank=True)

    tf_count = models.PositiveIntegerField(default=0, help_text="TFs read whose CRC was right")
    corrupt_tfs = models.JSONField(default=list, help_text="Numbers of those whose CRC was wrong")
    hits = models.PositiveBigIntegerField(default=0)
    hits_by_detector = models.JSONField(default=list, help_text="In the order of the detectors' numbers")
    bytes_read = models.PositiveBigIntegerField(default=0, help_text="Header and index included")
    requests = models.PositiveIntegerField(default=0, help_text="Read requests to the exit buffer")
    read_seconds = models.FloatField(default=0)

    slicing = models.CharField(max_length=20, choices=Slicing, default=Slicing.OFF)
    slicing_reason = models.TextField(blank=True, help_text="Why it was not cut into slices")

    class Meta:
        ordering = ["run", "sequence"]
        constraints = [
            models.UniqueConstraint(fields=["run", "sequence"], name="sample_sequence_unique"),
            models.CheckConstraint(condition=Q(state__in=SampleState.values), name="sample_state_known"),
            models.CheckConstraint(condition=Q(slicing__in=Slicing.values), name="sample_slicing_known"),
            models.CheckConstraint(
                condition=Q(state="waiting", decided_at__isnull=True)
                | (~Q(state="waiting") & Q(decided_at__isnull=False)),
                name="sample_decided_has_time",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=["skipped", "failed"]) | ~Q(reason=""),
                name="sample_skipped_has_reason",
            ),
            models.CheckConstraint(
                condition=Q(slicing="off") | Q(state="sampled"), name="sample_sliced_is_sampled"
            ),
            models.CheckConstraint(
                condition=~Q(slicing="skipped") | ~Q(slicing_reason=""), name="sample_not_sliced_has_reason"
            ),
        ]
        indexes = [
            # What lists of all runs are ordered by.
            models.Index(fields=["sequence"], name="sample_by_sequence"),
            models.Index(fields=["announced_at"], name="sample_by_announcement"),
            models.Index(fields=["decided_at"], name="sample_by_decision"),
            models.Index(fields=["id"], condition=Q(state="waiting"), name="sample_to_read"),
            models.Index(fields=["id"], condition=Q(slicing="waiting"), name="sample_to_cut"),
            models.Index(fields=["run"], condition=Q(slicing="skipped"), name="sample_not_cut"),
        ]

    def __str__(self) -> str:
        return f"sample of {self.stf}: {self.state}"


class FastMonFile(models.Model):
    """One block of consecutive TFs of a sample, and the TF file that holds them."""

    tf_file_id = models.UUIDField(default=uuid4, unique=True, editable=False)
    sample = models.ForeignKey(FastMonSample, models.PROTECT, related_name="files")
    tf_filename = models.CharField(max_length=250, unique=True)
    file_url = models.CharField(max_length=1000, help_text="Where a worker reads it: a path or a root:// URL")
    file_size_bytes = models.PositiveBigIntegerField()
    checksum = models.CharField(max_length=8, help_text="adler32, 8 hexadecimal digits")
    tf_first = models.PositiveBigIntegerField()
    tf_last = models.PositiveBigIntegerField()
    tf_count = models.PositiveIntegerField(help_text="TFs in it: those of the range whose CRC was right")
    corrupt_tfs = models.JSONField(default=list)
    status = models.CharField(max_length=20, choices=TfFileStatus, default=TfFileStatus.REGISTERED)
    created_at = models.DateTimeField(default=timezone.now)
    removed_at = models.DateTimeField(null=True, blank=True)
    visiting = models.BooleanField(
        default=False, help_text="An agent of another system made it, cuts it slice by slice, and removes it"
    )

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(condition=Q(tf_last__gte=F("tf_first")), name="tf_file_range_ordered"),
            models.CheckConstraint(
                condition=Q(tf_count__lte=F("tf_last") - F("tf_first") + 1), name="tf_file_count_in_range"
            ),
            models.CheckConstraint(
                condition=Q(status="registered", removed_at__isnull=True)
                | Q(status="removed", removed_at__isnull=False),
                name="tf_file_removed_has_time",
            ),
        ]
        indexes = [
            # What lists of all runs are ordered by.
            models.Index(fields=["tf_first"], name="tf_file_by_range"),
            models.Index(fields=["created_at"], name="tf_file_by_time"),
            models.Index(fields=["file_size_bytes"], name="tf_file_by_size"),
            models.Index(fields=["created_at"], condition=Q(status="registered"), name="tf_file_kept"),
        ]

    def __str__(self) -> str:
        return self.tf_filename


class HistogramWindow(models.Model):
    """The histograms of the STFs that began in a window of time. Those of the run are the sum of its windows.

    `contents` is what `apps.stf.histograms` packs. It grows in the transaction that decides the samples in it, so that no
    sample counts twice.
    """

    run = models.ForeignKey(Run, models.PROTECT, related_name="histogram_windows", db_index=False)
    begin_time = models.DateTimeField()
    seconds = models.FloatField()
    stf_count = models.PositiveIntegerField(default=0)
    tf_count = models.PositiveIntegerField(default=0)
    hits = models.PositiveBigIntegerField(default=0)
    contents = models.BinaryField()
    updated_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["run", "begin_time"]
        constraints = [
            models.UniqueConstraint(fields=["run", "begin_time"], name="histogram_window_unique"),
        ]

    def __str__(self) -> str:
        return f"run {self.run} from {self.begin_time:%H:%M:%S}: {self.stf_count} STFs"
