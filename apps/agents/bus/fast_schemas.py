"""The messages of the fast path: samples, slices and the workers that process them.

Those of slices and workers keep the existing system's other style: what they say is in `content`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from .schemas import Bytes, Checksum, Count, FileUrl, Message, Name, RunMessage, Sequence, Text, TfNumber

TfFilename = Annotated[str, Field(min_length=1, max_length=250, pattern=r"^[A-Za-z0-9._-]+$")]
SliceId = Annotated[int, Field(ge=0, le=65_535, description="Position in its TF file, from 0")]
Attempt = Annotated[int, Field(ge=1, le=1000, description="Which try this is, from 1")]


class TfFileRegistered(RunMessage):
    meaning = "A block of an STF's time frames has been read, checked and written as a TF file."
    msg_type: Literal["tf_file_registered"] = "tf_file_registered"
    processed_by: Name = ""
    tf_file_id: UUID
    tf_filename: TfFilename
    tf_first: TfNumber
    tf_last: TfNumber
    tf_count: Count
    file_size_bytes: Bytes
    stf_filename: TfFilename
    status: str = "registered"
    sequence: Sequence | None = None
    file_url: FileUrl | None = None
    checksum: Checksum | None = None
    corrupt_tfs: list[TfNumber] = Field(default_factory=list, description="Left out, for their CRC is wrong")


class _Content(BaseModel):
    """The inner object. Unknown fields are kept."""

    model_config = ConfigDict(extra="allow", defer_build=True)


class ContentMessage(RunMessage):
    """A message whose fields are in `content`."""

    created_at: str = Field(
        "", description="When it was made, UTC; the existing system's name for occurred_at"
    )


class WorkersWanted(_Content):
    target_worker_count: Count
    core_count: Count = 0
    slice_processing_time: float = 0.0
    worker_rampup_time: float = 0.0
    worker_rampdown_time: float = 0.0


class RunImminentWorker(ContentMessage):
    meaning = "A run is coming: so many workers will be wanted for its slices."
    msg_type: Literal["run_imminent_worker"] = "run_imminent_worker"
    content: WorkersWanted


class SliceContent(_Content):
    """A slice as a worker is given it; `start` and `end` are TF numbers, both inclusive."""

    req_id: UUID
    filename: TfFilename = Field(description="The STF")
    tf_filename: TfFilename = Field(description="The slice's own name: that of its TF file, with its number")
    slice_id: SliceId
    start: TfNumber
    end: TfNumber
    tf_count: Count
    state: str = "queued"
    substate: str = "new"
    attempt: Attempt = 1
    file_url: FileUrl | None = Field(None, description="The TF file: an absolute path or a root:// URL")
    checksum: Checksum | None = None
    payload: Text = Field("", description="Command for an external payload; empty for the built-in one")


class Slice(ContentMessage):
    meaning = "A slice of time frames for one worker to process. It goes to the workers' queue."
    msg_type: Literal["slice"] = "slice"
    content: SliceContent


class SliceOutcome(_Content):
    """What a worker made of it. `result.result` repeats the slice as it was given, with what was found."""

    state: Literal["done", "failed"]
    hostname: Name = ""
    requested_at: str | float | None = None
    processing_start_at: str | float | None = None
    processed_at: str | float | None = None
    panda_id: int | str | None = None
    panda_task_id: int | str | None = None
    worker_id: Name = ""
    result: dict[str, Any] | None = None
    error: Text | None = None


class SliceResult(ContentMessage):
    meaning = "A worker has processed a slice, or could not."
    msg_type: Literal["slice_result"] = "slice_result"
    content: SliceOutcome


class WorkerHeartbeat(Message):
    meaning = "A worker of slices is there, and what it has in hand."
    msg_type: Literal["worker_heartbeat"] = "worker_heartbeat"
    worker_id: Name
    status: Literal["ready", "busy", "stopping", "ended"]
    hostname: Name = ""
    pid: Count | None = None
    panda_id: Bytes | None = None
    req_id: UUID | None = Field(None, description="The slice in hand")
    attempt: Attempt | None = None
    slices_completed: Count = 0
    slices_failed: Count = 0
    started_at: datetime | None = None
    reason: Text = Field("", description="Why it ended")


class StopTransformer(Message):
    meaning = "Workers that run for this run, or are named, finish their slice and leave."
    msg_type: Literal["stop_transformer"] = "stop_transformer"
    content: dict[str, Any] = Field(
        default_factory=dict,
        description="requested_at; worker_ids of those meant, maybe none; all without it",
    )
