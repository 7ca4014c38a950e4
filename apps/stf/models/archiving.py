"""Super time frames, the datasets they are in, their replicas, and the proof that none is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from apps.runs.models import Run, legal_pair

from ..choices import BufferState, FileStatus, Registration, ReplicaState

if TYPE_CHECKING:
    from .processing import StfProcessing


class StfFile(models.Model):
    """One super time frame. Size, checksum and range are the DAQ's, taken as the file was written."""

    # (run, sequence) is unique, so the run needs no index of its own.
    run = models.ForeignKey(Run, models.PROTECT, related_name="stf_files", db_index=False)
    sequence = models.PositiveIntegerField(help_text="Position in the run, from 1")
    stf_filename = models.CharField(max_length=250)
    file_url = models.CharField(max_length=1000, help_text="Where the exit buffer holds it")
    size_bytes = models.PositiveBigIntegerField()
    checksum = models.CharField(max_length=8, help_text="adler32, 8 hexadecimal digits")
    tf_first = models.PositiveBigIntegerField(
        null=True, blank=True, help_text="None for files of other formats"
    )
    tf_count = models.PositiveIntegerField(null=True, blank=True)
    daq_state = models.CharField(max_length=20, help_text="Core state when it was taken")
    daq_substate = models.CharField(max_length=20)
    begin_time = models.DateTimeField(null=True, blank=True)
    end_time = models.DateTimeField(null=True, blank=True)
    generated_at = models.DateTimeField(help_text="When the DAQ closed the file")

    registration = models.CharField(max_length=20, choices=Registration, default=Registration.GENERATED)
    registration_reason = models.TextField(blank=True, help_text="Why it is not registered")
    registered_at = models.DateTimeField(null=True, blank=True)

    buffer = models.CharField(max_length=20, choices=BufferState, default=BufferState.HELD)
    releasable_at = models.DateTimeField(null=True, blank=True)
    released_at = models.DateTimeField(null=True, blank=True)
    withdrawn_at = models.DateTimeField(
        null=True, blank=True, help_text="When Rucio was told that the exit buffer's copy is gone"
    )

    # Its replicas and processings, where `selectors.file_status` has fetched them for a list.
    copies: list[Replica]
    site_processings: list[StfProcessing]

    class Meta:
        ordering = ["run", "sequence"]
        constraints = [
            models.UniqueConstraint(fields=["run", "sequence"], name="stf_sequence_unique"),
            models.UniqueConstraint(fields=["stf_filename"], name="stf_filename_unique"),
            models.CheckConstraint(condition=Q(sequence__gte=1), name="stf_sequence_from_one"),
            models.CheckConstraint(
                condition=Q(checksum__regex=r"^[0-9a-f]{8}$"), name="stf_checksum_adler32"
            ),
            models.CheckConstraint(
                condition=legal_pair("daq_state", "daq_substate"), name="stf_core_state_legal"
            ),
            models.CheckConstraint(
                condition=Q(registration__in=Registration.values), name="stf_registration_known"
            ),
            models.CheckConstraint(condition=Q(buffer__in=BufferState.values), name="stf_buffer_known"),
            models.CheckConstraint(
                condition=~Q(registration="registered") | Q(registered_at__isnull=False),
                name="stf_registered_has_time",
            ),
            models.CheckConstraint(
                condition=~Q(registration="failed") | ~Q(registration_reason=""),
                name="stf_failed_has_reason",
            ),
            # The delete contract, once more, where nothing can go round it.
            models.CheckConstraint(
                condition=Q(buffer="held") | Q(registration="registered", releasable_at__isnull=False),
                name="stf_releasable_only_when_registered",
            ),
            models.CheckConstraint(
                condition=~Q(buffer="released")
                | Q(released_at__isnull=False, released_at__gte=F("releasable_at")),
                name="stf_released_after_releasable",
            ),
        ]
        indexes = [
            # Open work only: what the registrar, the follower and the exit buffer ask for.
            models.Index(
                fields=["run", "sequence"], condition=Q(registration="generated"), name="stf_to_register"
            ),
            # What lists of all runs are ordered by.
            models.Index(fields=["generated_at"], name="stf_by_time"),
            models.Index(fields=["sequence"], name="stf_by_sequence"),
            models.Index(fields=["size_bytes"], name="stf_by_size"),
            models.Index(fields=["releasable_at"], condition=Q(buffer="releasable"), name="stf_to_release"),
            models.Index(fields=["run"], condition=~Q(buffer="released"), name="stf_in_buffer"),
            models.Index(
                fields=["run"],
                condition=Q(buffer="released", withdrawn_at__isnull=True),
                name="stf_to_withdraw",
            ),
        ]

    def __str__(self) -> str:
        return self.stf_filename


class StfRemark(models.Model):
    """What agents of the existing system say of an STF over REST: a status of their own, and their notes.

    The status is theirs as long as this testbed does not process the STF itself.
    """

    stf = models.OneToOneField(StfFile, models.PROTECT, related_name="remark")
    status = models.CharField(max_length=20, choices=FileStatus, blank=True)
    metadata = models.JSONField(default=dict, blank=True)
    said_by = models.CharField(max_length=150)
    said_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=["", *FileStatus.values]), name="remark_status_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.stf}: {self.status}"


class Dataset(models.Model):
    """The Rucio dataset of a run: open while the run goes on, closed when its last STF is registered."""

    run = models.OneToOneField(Run, models.PROTECT, related_name="dataset")
    scope = models.CharField(max_length=25)
    name = models.CharField(max_length=250)
    is_open = models.BooleanField(default=True)
    rules = models.JSONField(default=dict, help_text="Rucio rule id by RSE")
    created_at = models.DateTimeField(default=timezone.now)
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["scope", "name"], name="dataset_did_unique"),
            models.CheckConstraint(
                condition=Q(is_open=True, closed_at__isnull=True) | Q(is_open=False, closed_at__isnull=False),
                name="dataset_closed_has_time",
            ),
        ]

    def __str__(self) -> str:
        return self.did

    @property
    def did(self) -> str:
        """`scope:name`, as Rucio writes it."""
        return f"{self.scope}:{self.name}"


class Replica(models.Model):
    """The copy of an STF at an Echelon 1 site. Verified means: the bytes were read back there and their checksum is the
    DAQ's."""

    # (stf, rse) is unique, so the STF needs no index of its own.
    stf = models.ForeignKey(StfFile, models.PROTECT, related_name="replicas", db_index=False)
    rse = models.CharField(max_length=60)
    state = models.CharField(max_length=20, choices=ReplicaState, default=ReplicaState.REQUESTED)
    reason = models.TextField(blank=True, help_text="Last error, kept until it is verified")
    attempts = models.PositiveSmallIntegerField(default=0, help_text="Failures so far")
    retry_at = models.DateTimeField(null=True, blank=True, help_text="Not to be looked at before")
    requested_at = models.DateTimeField(default=timezone.now)
    verified_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["stf", "rse"]
        constraints = [
            models.UniqueConstraint(fields=["stf", "rse"], name="replica_unique"),
            models.CheckConstraint(condition=Q(state__in=ReplicaState.values), name="replica_state_known"),
            models.CheckConstraint(
                condition=Q(state="verified", verified_at__isnull=False)
                | (~Q(state="verified") & Q(verified_at__isnull=True)),
                name="replica_verified_has_time",
            ),
            models.CheckConstraint(
                condition=~Q(state="failed") | ~Q(reason=""), name="replica_failed_has_reason"
            ),
        ]
        indexes = [
            models.Index(fields=["rse", "stf"], condition=~Q(state="verified"), name="replica_unverified"),
        ]

    def __str__(self) -> str:
        return f"{self.stf} at {self.rse}: {self.state}"


class CloseoutProof(models.Model):
    """The latest answer to "is all of this run safe?". Earlier answers are in the journal (`run_closed`)."""

    run = models.OneToOneField(Run, models.PROTECT, related_name="proof")
    evaluated_at = models.DateTimeField(default=timezone.now)
    complete = models.BooleanField()
    expected = models.PositiveIntegerField()
    registered = models.PositiveIntegerField()
    verified = models.JSONField(default=dict, help_text="Number of verified STFs by RSE")
    processed = models.JSONField(default=dict, help_text="Number of processed STFs by site")
    outputs = models.PositiveIntegerField(default=0, help_text="Registered files that processing has made")
    missing = models.JSONField(
        default=list, help_text="One entry per STF that is not safe: sequence, kind, reason"
    )

    def __str__(self) -> str:
        return f"run {self.run}: {'complete' if self.complete else f'{len(self.missing)} missing'}"

    def as_message(self) -> dict[str, Any]:
        """The fields that `run_closed` carries."""
        return {
            "expected": self.expected,
            "registered": self.registered,
            "verified": self.verified,
            "processed": self.processed,
            "outputs": self.outputs,
            "missing": self.missing,
        }
