"""The lifecycle of a run: its states, with label and colour, and the moves between them, as data.

The lifecycle says how far the workflow system has come with a run. What the collider and detector do is another facet,
the core state (`core_states`), which the DAQ owns.
"""

from __future__ import annotations

from django.db import models


class RunLifecycle(models.TextChoices):
    REQUESTED = "requested", "Requested"
    IMMINENT = "imminent", "Imminent"
    RUNNING = "running", "Running"
    PAUSED = "paused", "Paused"
    ENDED = "ended", "Ended"
    CLOSED = "closed", "Closed"
    INCOMPLETE = "incomplete", "Incomplete"
    ABORTED = "aborted", "Aborted"

    @property
    def colour(self) -> str:
        """Colour token of pages, always shown beside the word."""
        return _COLOURS[self]


_COLOURS = {
    RunLifecycle.REQUESTED: "grey",
    RunLifecycle.IMMINENT: "blue",
    RunLifecycle.RUNNING: "green",
    RunLifecycle.PAUSED: "amber",
    RunLifecycle.ENDED: "blue",
    RunLifecycle.CLOSED: "green",
    RunLifecycle.INCOMPLETE: "red",
    RunLifecycle.ABORTED: "purple",
}

# The DAQ is still at work on these.
TAKING_DATA = frozenset(
    {RunLifecycle.REQUESTED, RunLifecycle.IMMINENT, RunLifecycle.RUNNING, RunLifecycle.PAUSED}
)
# The closeout still has a say in these: a late STF or a corrected count moves them on.
AWAITING_CLOSEOUT = frozenset({RunLifecycle.ENDED, RunLifecycle.INCOMPLETE})
# Nothing more is expected.
SETTLED = frozenset({RunLifecycle.CLOSED, RunLifecycle.ABORTED})

LIFECYCLE_MOVES: dict[RunLifecycle, frozenset[RunLifecycle]] = {
    RunLifecycle.REQUESTED: frozenset({RunLifecycle.IMMINENT, RunLifecycle.ENDED}),
    RunLifecycle.IMMINENT: frozenset({RunLifecycle.RUNNING, RunLifecycle.ENDED}),
    RunLifecycle.RUNNING: frozenset({RunLifecycle.PAUSED, RunLifecycle.ENDED}),
    RunLifecycle.PAUSED: frozenset({RunLifecycle.RUNNING, RunLifecycle.ENDED}),
    RunLifecycle.ENDED: frozenset({RunLifecycle.CLOSED, RunLifecycle.INCOMPLETE, RunLifecycle.ABORTED}),
    RunLifecycle.INCOMPLETE: frozenset({RunLifecycle.CLOSED, RunLifecycle.ABORTED}),
    # A late correction of the expected count re-opens the question.
    RunLifecycle.CLOSED: frozenset({RunLifecycle.INCOMPLETE}),
    RunLifecycle.ABORTED: frozenset({RunLifecycle.INCOMPLETE}),
}

# What a message of the DAQ means for the lifecycle.
LIFECYCLE_OF_MESSAGE: dict[str, RunLifecycle] = {
    "run_imminent": RunLifecycle.IMMINENT,
    "start_run": RunLifecycle.RUNNING,
    "pause_run": RunLifecycle.PAUSED,
    "resume_run": RunLifecycle.RUNNING,
    "end_run": RunLifecycle.ENDED,
}


class ExecutionStatus(models.TextChoices):
    """What the runner of another system says of its execution. Owner: that runner."""

    PENDING = "pending", "Pending"
    RUNNING = "running", "Running"
    COMPLETED = "completed", "Completed"
    FAILED = "failed", "Failed"
    TERMINATED = "terminated", "Terminated"


EXECUTION_MOVES: dict[ExecutionStatus, frozenset[ExecutionStatus]] = {
    ExecutionStatus.PENDING: frozenset(
        {ExecutionStatus.RUNNING, ExecutionStatus.FAILED, ExecutionStatus.TERMINATED}
    ),
    ExecutionStatus.RUNNING: frozenset(
        {ExecutionStatus.COMPLETED, ExecutionStatus.FAILED, ExecutionStatus.TERMINATED}
    ),
    ExecutionStatus.COMPLETED: frozenset(),
    ExecutionStatus.FAILED: frozenset(),
    ExecutionStatus.TERMINATED: frozenset(),
}

# What the lifecycle of a run is in those words.
STATUS_OF_LIFECYCLE: dict[RunLifecycle, ExecutionStatus] = {
    RunLifecycle.REQUESTED: ExecutionStatus.PENDING,
    RunLifecycle.IMMINENT: ExecutionStatus.RUNNING,
    RunLifecycle.RUNNING: ExecutionStatus.RUNNING,
    RunLifecycle.PAUSED: ExecutionStatus.RUNNING,
    RunLifecycle.ENDED: ExecutionStatus.RUNNING,
    RunLifecycle.CLOSED: ExecutionStatus.COMPLETED,
    RunLifecycle.INCOMPLETE: ExecutionStatus.FAILED,
    RunLifecycle.ABORTED: ExecutionStatus.TERMINATED,
}
