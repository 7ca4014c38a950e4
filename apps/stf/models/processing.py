"""What becomes of an STF at the processing sites: where it is to be processed, PanDA's tasks and jobs, their outputs.

A site is known by its name, which is that of its RSE. Membership in a site's input dataset is how PanDA learns of an STF.
"""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone

from apps.runs.models import Run

from ..choices import Policy, ProcessingState, TaskCommand
from .archiving import StfFile


class ProcessingSite(models.Model):
    """An Echelon 1 site that processes, and whether it may be given work."""

    name = models.CharField(max_length=60, unique=True, help_text="That of its RSE")
    panda_queue = models.CharField(max_length=100)
    is_down = models.BooleanField(default=False)
    down_reason = models.TextField(blank=True)
    changed_by = models.CharField(max_length=100, blank=True)
    changed_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=Q(is_down=False, down_reason="")
                | (Q(is_down=True) & ~Q(down_reason="") & ~Q(changed_by="")),
                name="site_down_with_name_and_reason",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class DecisionBox(models.Model):
    """Which sites the STFs of a run are processed at; holds for those that are registered from now on."""

    run = models.OneToOneField(Run, models.PROTECT, related_name="decision_box")
    policy = models.CharField(max_length=20, choices=Policy)
    sites = models.JSONField(default=list, help_text="Names, in the order in which they take turns")
    rules = models.JSONField(default=list, help_text='Of the policy explicit: "E1_BNL:1-10"')
    changed_by = models.CharField(max_length=100)
    changed_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name_plural = "decision boxes"
        constraints = [
            models.CheckConstraint(condition=Q(policy__in=Policy.values), name="box_policy_known"),
        ]

    def __str__(self) -> str:
        return f"run {self.run}: {self.policy}"


class ProcessingTask(models.Model):
    """The PanDA task of a run at a site, with the dataset it reads. Made with the dataset, submitted once."""

    # (run, site) is unique, so the run needs no index of its own.
    run = models.ForeignKey(Run, models.PROTECT, related_name="tasks", db_index=False)
    site = models.CharField(max_length=60)
    input_scope = models.CharField(max_length=25)
    input_name = models.CharField(max_length=250)
    is_open = models.BooleanField(default=True, help_text="Whether the input dataset takes STFs")
    task_name = models.CharField(max_length=250, unique=True)
    jedi_task_id = models.BigIntegerField(null=True, blank=True, unique=True)
    status = models.CharField(max_length=50, blank=True, help_text="In PanDA's own words")
    reason = models.TextField(blank=True, help_text="Why it cannot be submitted, or what PanDA says of it")
    submitting_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="When it was first tried to submit it: PanDA may know it from then on",
    )
    submitted_at = models.DateTimeField(null=True, blank=True)
    changed_at = models.DateTimeField(default=timezone.now, help_text="Of the status")
    reloads = models.PositiveSmallIntegerField(default=0, help_text="In a row, without any STF processed")
    reload_at = models.DateTimeField(null=True, blank=True, help_text="Not to be reloaded before")

    command = models.CharField(max_length=20, choices=TaskCommand, blank=True, help_text="The last one")
    command_by = models.CharField(max_length=100, blank=True)
    command_reason = models.TextField(blank=True)
    command_at = models.DateTimeField(null=True, blank=True)
    command_done_at = models.DateTimeField(
        null=True, blank=True, help_text="When PanDA was told; none while it is to be"
    )
    command_outcome = models.TextField(blank=True)
    command_accepted = models.BooleanField(
        null=True, blank=True, help_text="None while it is to be carried out"
    )

    class Meta:
        ordering = ["run", "site"]
        constraints = [
            models.UniqueConstraint(fields=["run", "site"], name="task_unique"),
            models.UniqueConstraint(fields=["input_scope", "input_name"], name="task_input_unique"),
            models.CheckConstraint(
                condition=Q(jedi_task_id__isnull=True) | Q(submitted_at__isnull=False),
                name="task_submitted_has_time",
            ),
            models.CheckConstraint(
                condition=Q(command="") | (Q(command__in=TaskCommand.values) & ~Q(command_by="")),
                name="task_command_known_with_name",
            ),
        ]
        indexes = [
            models.Index(fields=["id"], condition=Q(jedi_task_id__isnull=True), name="task_to_submit"),
            models.Index(
                fields=["id"],
                condition=~Q(command="") & Q(command_done_at__isnull=True),
                name="task_to_command",
            ),
        ]

    def __str__(self) -> str:
        return self.task_name

    @property
    def input_dataset(self) -> str:
        """`scope:name` of the dataset it reads, as Rucio writes it."""
        return f"{self.input_scope}:{self.input_name}"

    @property
    def has_command(self) -> bool:
        """Whether a command waits for being carried out."""
        return bool(self.command) and self.command_done_at is None

    @property
    def ended_by_person(self) -> bool:
        """Whether the last that PanDA was told is to end it: then it is not begun again by itself."""
        return self.command in (TaskCommand.KILL, TaskCommand.FINISH) and bool(self.command_accepted)


class StfProcessing(models.Model):
    """The processing of an STF at a site that its policy names. PanDA may make jobs of it while it is attached."""

    # (stf, site) is unique, so the STF needs no index of its own.
    stf = models.ForeignKey(StfFile, models.PROTECT, related_name="processings", db_index=False)
    # The STF's, repeated here: the loops ask by run and site, and never need to join for it.
    run = models.ForeignKey(Run, models.PROTECT, related_name="processings", db_index=False)
    chosen_site = models.CharField(max_length=60, help_text="The policy's choice")
    site = models.CharField(max_length=60, help_text="Where it is now")
    may_move = models.BooleanField(
        default=False, help_text="One site is enough: another may take it while its own is down"
    )
    state = models.CharField(max_length=20, choices=ProcessingState, default=ProcessingState.WAITING)
    reason = models.TextField(blank=True, help_text="Last failure, kept until it is processed")
    attempts = models.PositiveSmallIntegerField(default=0, help_text="Jobs that have failed")
    # Said before Rucio is asked: whoever is killed in between leaves no STF in a dataset that nobody knows of.
    attach_asked_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="May be in the site's input dataset since; none when it is surely not",
    )
    attached_at = models.DateTimeField(
        null=True, blank=True, help_text="Member of the site's input dataset since"
    )
    detached_at = models.DateTimeField(null=True, blank=True, help_text="Taken out of it last")
    cleared_at = models.DateTimeField(
        null=True, blank=True, help_text="When PanDA was seen to make no job of the detached STF any more"
    )
    changed_at = models.DateTimeField(default=timezone.now, help_text="Of the state")
    done_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["stf", "site"]
        constraints = [
            models.UniqueConstraint(fields=["stf", "site"], name="processing_unique"),
            models.UniqueConstraint(fields=["stf", "chosen_site"], name="processing_choice_unique"),
            models.CheckConstraint(
                condition=Q(state__in=ProcessingState.values), name="processing_state_known"
            ),
            models.CheckConstraint(
                condition=Q(state="done", done_at__isnull=False)
                | (~Q(state="done") & Q(done_at__isnull=True)),
                name="processing_done_has_time",
            ),
            models.CheckConstraint(
                condition=~Q(state="failed") | ~Q(reason=""), name="processing_failed_has_reason"
            ),
            models.CheckConstraint(
                condition=Q(attached_at__isnull=True) | Q(attach_asked_at__isnull=False),
                name="processing_attached_was_asked",
            ),
            models.CheckConstraint(
                condition=Q(may_move=True) | Q(chosen_site=models.F("site")),
                name="processing_moved_only_if_it_may",
            ),
        ]
        indexes = [
            models.Index(fields=["run", "site", "state"], name="processing_counts"),
            # Open work only: what the loops ask for.
            models.Index(
                fields=["run", "site"], condition=~Q(state__in=["done", "failed"]), name="processing_open"
            ),
            # Few among the many: what the status of an STF hangs on.
            models.Index(fields=["stf"], condition=~Q(state="done"), name="processing_not_done"),
        ]

    def __str__(self) -> str:
        return f"{self.stf} at {self.site}: {self.state}"


class ProcessingJob(models.Model):
    """A PanDA job: one attempt at the STFs it reads, which are one unless the workflow says otherwise."""

    panda_id = models.BigIntegerField(unique=True)
    task = models.ForeignKey(ProcessingTask, models.PROTECT, related_name="jobs")
    processings = models.ManyToManyField(StfProcessing, related_name="jobs")
    status = models.CharField(max_length=50, help_text="In PanDA's own words")
    attempt_nr = models.PositiveSmallIntegerField(default=1)
    reason = models.TextField(blank=True, help_text="Why it failed, with the code of who says so")
    created_at = models.DateTimeField(default=timezone.now, help_text="By PanDA's clock")
    changed_at = models.DateTimeField(default=timezone.now, help_text="Of the status, as it was seen here")
    ended_at = models.DateTimeField(
        null=True, blank=True, help_text="As it was seen here; none while it is open"
    )
    kill_asked_at = models.DateTimeField(
        null=True, blank=True, help_text="When PanDA was last asked to kill it"
    )

    # Where `selectors.job_list` has fetched them.
    inputs: list[StfProcessing]
    made: list[ProcessingOutput]

    class Meta:
        ordering = ["panda_id"]
        indexes = [
            models.Index(fields=["task"], condition=Q(ended_at__isnull=True), name="job_open"),
        ]

    def __str__(self) -> str:
        return f"job {self.panda_id}: {self.status}"


class ProcessingOutput(models.Model):
    """A file that a job has made. PanDA reports it; registered means that Rucio was seen to hold the same at the site."""

    job = models.ForeignKey(ProcessingJob, models.PROTECT, related_name="outputs")
    scope = models.CharField(max_length=100)
    name = models.CharField(max_length=250)
    dataset = models.CharField(max_length=250, blank=True)
    rse = models.CharField(max_length=60)
    size_bytes = models.PositiveBigIntegerField()
    checksum = models.CharField(max_length=8, help_text="adler32, 8 hexadecimal digits")
    registered_at = models.DateTimeField(null=True, blank=True)
    reason = models.TextField(blank=True, help_text="Why it is not registered, as far as that is known")

    class Meta:
        ordering = ["scope", "name"]
        constraints = [
            models.UniqueConstraint(fields=["scope", "name"], name="output_unique"),
            models.CheckConstraint(
                condition=Q(registered_at__isnull=True) | Q(reason=""),
                name="output_registered_without_reason",
            ),
        ]
        indexes = [
            models.Index(fields=["id"], condition=Q(registered_at__isnull=True), name="output_to_verify"),
        ]

    def __str__(self) -> str:
        return f"{self.scope}:{self.name}"


class Brake(models.Model):
    """Processing is held: of a run, or of all runs (`run` is null). While it is on, no task and no job is made."""

    run = models.OneToOneField(Run, models.PROTECT, null=True, blank=True, related_name="brake")
    is_on = models.BooleanField(default=True)
    cancel = models.BooleanField(default=False, help_text="Running jobs are killed too")
    by = models.CharField(max_length=100)
    reason = models.TextField()
    since = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            # Once more than the one-to-one, which lets any number of nulls pass.
            models.UniqueConstraint(fields=["run"], name="brake_unique", nulls_distinct=False),
            models.CheckConstraint(condition=~Q(by="") & ~Q(reason=""), name="brake_with_name_and_reason"),
        ]

    def __str__(self) -> str:
        return f"{f'run {self.run}' if self.run_id else 'all runs'}: {'on' if self.is_on else 'off'}"
