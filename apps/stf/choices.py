"""States of the facets of an STF: one owner each (see docs/architecture.md), with label and colour."""

from __future__ import annotations

from django.db import models


class Registration(models.TextChoices):
    """Owner: the data agent."""

    GENERATED = "generated", "Generated"
    REGISTERED = "registered", "Registered"
    FAILED = "failed", "Failed"


class ReplicaState(models.TextChoices):
    """Owner: the data agent."""

    REQUESTED = "requested", "Requested"
    TRANSFERRING = "transferring", "Transferring"
    VERIFIED = "verified", "Verified"
    FAILED = "failed", "Failed"


class FileStatus(models.TextChoices):
    """The existing system's one word for all facets of an STF. Where this testbed processes it, the facets decide."""

    REGISTERED = "registered", "Registered"
    PROCESSING = "processing", "Processing"
    PROCESSED = "processed", "Processed"
    DONE = "done", "Done"
    FAILED = "failed", "Failed"


FILE_STATUS_MOVES: dict[FileStatus, frozenset[FileStatus]] = {
    FileStatus.REGISTERED: frozenset({FileStatus.PROCESSING, FileStatus.PROCESSED, FileStatus.FAILED}),
    FileStatus.PROCESSING: frozenset({FileStatus.PROCESSED, FileStatus.FAILED}),
    FileStatus.PROCESSED: frozenset({FileStatus.DONE}),
    FileStatus.DONE: frozenset(),
    # Tried again.
    FileStatus.FAILED: frozenset({FileStatus.PROCESSING}),
}


class BufferState(models.TextChoices):
    """The exit buffer's copy. The data agent says releasable; only the DAQ deletes, then says released."""

    HELD = "held", "Held"
    RELEASABLE = "releasable", "Releasable"
    RELEASED = "released", "Released"


class ProcessingState(models.TextChoices):
    """Owner: the processing services of this app; what they are told comes from the processing agent."""

    WAITING = "waiting", "Waiting"
    QUEUED = "queued", "Queued"
    RUNNING = "running", "Running"
    DONE = "done", "Processed"
    FAILED = "failed", "Failed"


class Policy(models.TextChoices):
    """At which of its sites an STF is processed."""

    NONE = "none", "None"
    BOTH = "both", "Both"
    ROUND_ROBIN = "round-robin", "Round robin"
    HASH = "hash", "Hash of the name"
    EXPLICIT = "explicit", "Explicit"


class TaskCommand(models.TextChoices):
    """What a person may ask PanDA to do with a task."""

    KILL = "kill", "Kill"
    FINISH = "finish", "Finish"
    RETRY = "retry", "Retry"
    RELOAD = "reload", "Reload input"


class SampleState(models.TextChoices):
    """Owner: the fastmon agent."""

    WAITING = "waiting", "Waiting"
    SAMPLED = "sampled", "Sampled"
    SKIPPED = "skipped", "Skipped"
    FAILED = "failed", "Failed"


class Slicing(models.TextChoices):
    """Whether a sample becomes slices. Owner: the fastproc agent; the fastmon agent says waiting."""

    OFF = "off", "Off"
    WAITING = "waiting", "Waiting"
    CUT = "cut", "Cut"
    SKIPPED = "skipped", "Skipped"


class TfFileStatus(models.TextChoices):
    """Owner: the fastmon agent, which removes a TF file when its slices are through."""

    REGISTERED = "registered", "Registered"
    REMOVED = "removed", "Removed"


class SliceState(models.TextChoices):
    """Owner: the fastproc agent."""

    QUEUED = "queued", "Queued"
    CLAIMED = "claimed", "Claimed"
    DONE = "done", "Done"
    FAILED = "failed", "Failed"
    SKIPPED = "skipped", "Skipped"


class BacklogPolicy(models.TextChoices):
    """What becomes of slices when there are more than the workers manage."""

    ALL = "all", "All, in order"
    NEWEST_FIRST = "newest_first", "Newest first"
    SAMPLE_DOWN = "sample_down", "Sample down"


class WorkerStatus(models.TextChoices):
    """Owner: the worker; `lost` is for the fastproc agent to say."""

    READY = "ready", "Ready"
    BUSY = "busy", "Busy"
    STOPPING = "stopping", "Stopping"
    ENDED = "ended", "Ended"
    LOST = "lost", "Lost"


# PanDA's own words. Nothing comes of these by itself any more; `exhausted` waits for a person.
FINAL_TASK = frozenset({"done", "finished", "failed", "aborted", "broken", "exhausted"})
# Of these, the ones that take up new input when they are asked to.
RELOADABLE_TASK = frozenset({"done", "finished", "failed"})
FINAL_JOB = frozenset({"finished", "failed", "cancelled", "closed"})
# A pilot has, or has had, the job in its hands.
JOB_WITH_PILOT = frozenset({"sent", "starting", "running", "holding", "transferring", "merging"})
# Of a slice: something is still to come of it.
OPEN_SLICE = frozenset({SliceState.QUEUED, SliceState.CLAIMED})
# Of a worker: nothing more is expected of it.
ENDED_WORKER = frozenset({WorkerStatus.ENDED, WorkerStatus.LOST})

COLOURS: dict[str, str] = {
    Registration.GENERATED: "grey",
    Registration.REGISTERED: "blue",
    ReplicaState.REQUESTED: "grey",
    ReplicaState.TRANSFERRING: "blue",
    ReplicaState.VERIFIED: "green",
    Registration.FAILED: "red",
    BufferState.HELD: "amber",
    BufferState.RELEASABLE: "blue",
    BufferState.RELEASED: "grey",
    ProcessingState.WAITING: "grey",
    ProcessingState.QUEUED: "blue",
    ProcessingState.RUNNING: "blue",
    ProcessingState.DONE: "green",
    SampleState.SAMPLED: "green",
    SampleState.SKIPPED: "amber",
    SliceState.CLAIMED: "blue",
    WorkerStatus.READY: "green",
    WorkerStatus.BUSY: "blue",
    WorkerStatus.STOPPING: "amber",
    WorkerStatus.ENDED: "grey",
    WorkerStatus.LOST: "red",
}
