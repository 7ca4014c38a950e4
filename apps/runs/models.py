"""What happens: namespaces and who acts in them, workflows, runs, and the journal of every change."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from uuid_utils.compat import uuid7

from .choices import ExecutionStatus, RunLifecycle
from .core_states import LEGAL_PAIRS, CoreState, CoreSubstate

FIRST_RUN_NUMBER = 100010


class Namespace(models.Model):
    """A label that keeps testbeds, users and their messages apart."""

    name = models.CharField(max_length=100, unique=True)
    owner = models.CharField(max_length=100, blank=True)
    description = models.TextField(blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    """A user acts in a namespace; in all of them without one."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="memberships")
    # Never to be emptied by a deletion: without a namespace it is good for all.
    namespace = models.ForeignKey(
        Namespace, models.PROTECT, null=True, blank=True, related_name="+", help_text="All without"
    )

    class Meta:
        ordering = ["user", "namespace"]
        constraints = [
            models.UniqueConstraint(
                fields=["user", "namespace"], name="membership_unique", nulls_distinct=False
            )
        ]

    def __str__(self) -> str:
        return f"{self.user} in {self.namespace or '*'}"


class Identity(models.Model):
    """By whom an identity provider means a user: the provider never gives its `subject` to another person."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="identities")
    issuer = models.CharField(max_length=250)
    subject = models.CharField(max_length=255)

    class Meta:
        verbose_name_plural = "identities"
        constraints = [models.UniqueConstraint(fields=["issuer", "subject"], name="identity_unique")]

    def __str__(self) -> str:
        return f"{self.subject} at {self.issuer}"


class Counter(models.Model):
    """A number that is handed out without gaps: its row is locked by the transaction that uses the number."""

    name = models.CharField(max_length=250, primary_key=True)
    value = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.name} = {self.value}"


class WorkflowDefinition(models.Model):
    """One version of a workflow's parameters. Never changed (a trigger sees to it): other content is a new version."""

    workflow_name = models.CharField(max_length=100)
    version = models.PositiveIntegerField()
    declared_version = models.CharField(
        max_length=50, blank=True, help_text="As somebody else calls it, who declared it over REST"
    )
    workflow_type = models.CharField(max_length=50, default="simulation")
    definition = models.TextField(help_text="The TOML as it was read")
    content_hash = models.CharField(max_length=64, help_text="SHA-256 of name and fully expanded parameters")
    parameter_values = models.JSONField(default=dict)
    created_by = models.CharField(max_length=100)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["workflow_name", "-version"]
        constraints = [
            models.UniqueConstraint(fields=["workflow_name", "version"], name="definition_version_unique"),
            models.UniqueConstraint(
                fields=["workflow_name", "content_hash"], name="definition_content_unique"
            ),
            models.UniqueConstraint(
                fields=["workflow_name", "declared_version"],
                condition=~Q(declared_version=""),
                name="definition_declared_version_unique",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.workflow_name} v{self.version}"


class WorkflowExecution(models.Model):
    """One use of a definition, with every parameter as it was in force and the code that ran it.

    Its state is its run's lifecycle: it has no second one. One that the runner of another system declared over REST has
    that runner's word besides, and parameters of its own, which mean nothing here.
    """

    execution_id = models.CharField(max_length=250, unique=True, help_text="<workflow>-<user>-<NNNN>")
    workflow_definition = models.ForeignKey(WorkflowDefinition, models.PROTECT, related_name="executions")
    namespace = models.ForeignKey(Namespace, models.PROTECT, related_name="executions")
    executed_by = models.CharField(max_length=100)
    parameter_values = models.JSONField(default=dict)
    git_version = models.JSONField(default=dict, help_text="branch, commit and whether the tree was clean")
    start_time = models.DateTimeField(default=timezone.now)
    declared_status = models.CharField(max_length=20, choices=ExecutionStatus, blank=True)
    declared_parameters = models.JSONField(default=dict, blank=True)
    end_time = models.DateTimeField(null=True, blank=True, help_text="As its runner said it")
    performance_metrics = models.JSONField(default=dict, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(declared_status__in=["", *ExecutionStatus.values]),
                name="execution_status_known",
            ),
        ]

    def __str__(self) -> str:
        return self.execution_id


def legal_pair(state_field: str, substate_field: str) -> Q:
    """The condition that these two columns hold a legal core state; in a fixed order, for the migrations' sake."""
    pairs = Q()
    for state, substate in sorted(LEGAL_PAIRS):
        pairs |= Q(**{state_field: state, substate_field: substate})
    return pairs


class Run(models.Model):
    """A period of datataking, from the request to the proof that nothing of it was lost."""

    run_number = models.PositiveBigIntegerField(unique=True)
    namespace = models.ForeignKey(Namespace, models.PROTECT, related_name="runs")
    execution = models.OneToOneField(WorkflowExecution, models.PROTECT, related_name="run")
    run_conditions = models.JSONField(default=dict, blank=True)

    # Core state: owned by the DAQ, mirrored here.
    state = models.CharField(max_length=20, default=CoreState.OFF.value)
    substate = models.CharField(max_length=20, default="", blank=True)
    state_changed_at = models.DateTimeField(default=timezone.now)

    # Lifecycle: owned by `runs.services`.
    lifecycle = models.CharField(max_length=20, choices=RunLifecycle, default=RunLifecycle.REQUESTED)
    lifecycle_changed_at = models.DateTimeField(default=timezone.now)

    expected_stf_count = models.PositiveIntegerField(null=True, blank=True, help_text="As end_run said it")
    requested_at = models.DateTimeField(default=timezone.now)
    start_time = models.DateTimeField(null=True, blank=True)
    end_time = models.DateTimeField(null=True, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)
    abort_reason = models.TextField(blank=True)
    close_forced_by = models.CharField(max_length=100, blank=True)
    close_forced_reason = models.TextField(blank=True)

    class Meta:
        ordering = ["-run_number"]
        indexes = [
            # The closeout loop and the DAQ look for open runs only; settled ones are the bulk.
            models.Index(
                fields=["lifecycle"],
                condition=~Q(lifecycle__in=["closed", "aborted"]),
                name="run_open",
            ),
        ]
        constraints = [
            models.CheckConstraint(condition=legal_pair("state", "substate"), name="run_core_state_legal"),
            models.CheckConstraint(
                condition=Q(lifecycle__in=RunLifecycle.values), name="run_lifecycle_known"
            ),
            models.CheckConstraint(
                condition=Q(lifecycle__in=["requested", "imminent", "running", "paused"])
                | Q(expected_stf_count__isnull=False, end_time__isnull=False),
                name="run_ended_with_count",
            ),
            models.CheckConstraint(
                condition=Q(close_forced_by="", close_forced_reason="")
                | (~Q(close_forced_by="") & ~Q(close_forced_reason="")),
                name="run_forced_with_name_and_reason",
            ),
            models.CheckConstraint(
                condition=Q(end_time__isnull=True) | Q(end_time__gte=F("requested_at")),
                name="run_ends_after_request",
            ),
        ]

    def __str__(self) -> str:
        return str(self.run_number)

    @property
    def parameters(self) -> dict[str, Any]:
        """The fully expanded parameters the run was started with."""
        return self.execution.parameter_values  # type: ignore[no-any-return]

    @property
    def lifecycle_choice(self) -> RunLifecycle:
        """The lifecycle with its label and colour, for pages."""
        return RunLifecycle(self.lifecycle)

    @property
    def substate_choice(self) -> CoreSubstate:
        """The substate with its label and colour, for pages."""
        return CoreSubstate(self.substate)

    @property
    def state_choice(self) -> CoreState:
        """The core state with its label and colour, for pages."""
        return CoreState(self.state)


class JournalStream(models.Model):
    """The last `stream_sequence` of one producer in one run. Locked by its writer, so that a stream commits in order."""

    run = models.ForeignKey(Run, models.PROTECT, null=True, related_name="+")
    producer = models.CharField(max_length=100)
    last = models.BigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["run", "producer"], name="journal_stream_unique", nulls_distinct=False
            )
        ]

    def __str__(self) -> str:
        return f"{self.producer} in {self.run_id or 'no run'}: {self.last}"


# What others have to say of the state of a run.
STATE_EVENT = "system_state_event"
# That, and changes of the state of runs.
STATE_EVENTS = [
    "core_state",
    "end_run",
    "pause_run",
    "resume_run",
    "run_imminent",
    "start_run",
    STATE_EVENT,
]


class JournalEntry(models.Model):
    """One change, written by the transaction that made it. Append-only: a trigger refuses anything else.

    `position` is given once, by the relay, to committed entries in the order in which it sees them. Ids are drawn before
    the commit and so may become visible out of order; positions do not: a reader that has seen position n will never be
    shown a smaller one later. Everything that follows the journal (bus, live pages, streams) follows positions.
    """

    msg_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    kind = models.CharField(max_length=60)
    # Every change of every STF is written here: indexes are few on purpose (see Meta).
    run = models.ForeignKey(
        Run, models.PROTECT, null=True, blank=True, related_name="journal", db_index=False
    )
    namespace = models.ForeignKey(
        Namespace, models.PROTECT, null=True, blank=True, related_name="+", db_index=False
    )
    actor = models.CharField(max_length=100, help_text="Who made the change")
    subject = models.CharField(
        max_length=255, blank=True, help_text="What it is about, e.g. an STF's file name"
    )
    payload = models.JSONField(default=dict)
    stream_sequence = models.BigIntegerField(help_text="Counts this actor's entries in this run from 1")
    correlation_id = models.UUIDField(null=True, blank=True, help_text="The msg_id that all this began with")
    causation_id = models.UUIDField(null=True, blank=True, help_text="The msg_id that led to this entry")
    occurred_at = models.DateTimeField(default=timezone.now)
    heard = models.BooleanField(
        default=False, help_text="Another system said it on the bus, where it is not sent again"
    )
    position = models.BigIntegerField(null=True, unique=True, editable=False)

    class Meta:
        ordering = ["id"]
        verbose_name_plural = "journal entries"
        indexes = [
            models.Index(fields=["run", "id"], name="journal_timeline"),
            # What it is searched by, in the order in which it is read.
            models.Index(fields=["run", "position"], name="journal_of_run"),
            models.Index(fields=["kind", "position"], name="journal_of_kind"),
            models.Index(fields=["subject", "position"], name="journal_of_subject"),
            models.Index(fields=["id"], condition=Q(position__isnull=True), name="journal_unsequenced"),
            # Written in the order of time: a summary of its pages finds an instant, and costs a writer nothing.
            BrinIndex(
                fields=["occurred_at"], name="journal_instants", autosummarize=True, pages_per_range=32
            ),
            # Few among the many: what happens to runs as a whole.
            models.Index(fields=["id"], condition=Q(kind__in=STATE_EVENTS), name="journal_state_events"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.subject}".strip()


class JournalCursor(models.Model):
    """How far a durable follower of the journal has come: everything up to `position` is done."""

    follower = models.CharField(max_length=50, primary_key=True)
    position = models.BigIntegerField(default=0)
    moved_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"{self.follower} at {self.position}"


class IdempotentAnswer(models.Model):
    """What a request with an `Idempotency-Key` was answered, written by the transaction of its effect: the same request
    is answered the same for a day, and has no second effect."""

    key = models.CharField(max_length=255)
    owner = models.CharField(max_length=64, help_text="SHA-256 of the credentials that it came with")
    request_hash = models.CharField(max_length=64, help_text="SHA-256 of address and body")
    status = models.PositiveSmallIntegerField(default=0)
    headers = models.JSONField(default=dict)
    body = models.TextField(blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["owner", "key"], name="idempotent_answer_unique")]
        indexes = [models.Index(fields=["created_at"], name="idempotent_answer_age")]

    def __str__(self) -> str:
        return f"{self.key}: {self.status}"
