"""The messages on the bus: one pydantic model per `msg_type`. The fast path's are in `fast_schemas`, the registry of all in
`vocabulary`.

Field names are those of the existing swf system; the envelope adds what it lacks. Unknown fields are kept. `docs/messages/`
is generated from here (`manage.py write_schemas`).
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, WithJsonSchema
from uuid_utils.compat import uuid7

SCHEMA_VERSION = 1

# Bounds are those of the database's columns: what cannot be stored is refused by name, before anything is tried.
MOST_INT, MOST_BIGINT = 2**31 - 1, 2**63 - 1

Text = Annotated[str, Field(pattern=r"^[^\x00]*$")]
Name = Annotated[Text, Field(max_length=100)]
Checksum = Annotated[str, Field(pattern=r"^[0-9a-f]{8}$", description="adler32, 8 hexadecimal digits")]
FileUrl = Annotated[Text, Field(min_length=1, max_length=1000, description="Where the exit buffer holds it")]
Sequence = Annotated[int, Field(ge=1, le=MOST_INT, description="Position of the STF in its run, from 1")]
Count = Annotated[int, Field(ge=0, le=MOST_INT)]
Bytes = Annotated[int, Field(ge=0, le=MOST_BIGINT)]
TfNumber = Annotated[int, Field(ge=0, le=MOST_BIGINT)]
# Run ids travel as strings in the existing system; a number is accepted too.
RunId = Annotated[
    str,
    BeforeValidator(lambda value: str(value) if isinstance(value, int) else value),
    Field(pattern=r"^[0-9]{1,18}$", description="The run number, as a string"),
]


class Message(BaseModel):
    """The envelope. Every message has it; one from elsewhere that lacks it is given one on arrival."""

    # A process meets few kinds of messages; to prepare for all would lengthen every start.
    model_config = ConfigDict(extra="allow", defer_build=True)
    # Who takes the message off the bus, for the document; the bindings are made from the agents' handlers.
    meaning: ClassVar[str] = ""

    msg_type: str
    msg_id: UUID = Field(default_factory=uuid7, description="UUID version 7, unique; consumers drop repeats")
    schema_version: int = SCHEMA_VERSION
    occurred_at: datetime | None = Field(None, description="When the change was made, UTC")
    correlation_id: UUID | None = Field(None, description="msg_id of the message that all this began with")
    causation_id: UUID | None = Field(None, description="msg_id of the message that led to this one")
    stream_sequence: int | None = Field(None, description="Counts this sender's entries in this run from 1")
    namespace: Name = ""
    sender: Name = ""
    timestamp: str = Field("", description="As occurred_at; the existing system's name for it")
    run_id: RunId | None = None
    execution_id: str | None = None
    reply_to: Text = Field("", description="On ActiveMQ, the destination for the answer to a command")

    # What the handler found; not part of the message.
    _answer: dict[str, Any] = PrivateAttr(default_factory=dict)
    _was_named: bool = PrivateAttr(default=False)

    @property
    def run_number(self) -> int | None:
        """The run id as a number."""
        return int(self.run_id) if self.run_id else None

    @property
    def was_named(self) -> bool:
        """Whether it was given its id on arrival, for it brought none: then it is in no journal."""
        return self._was_named

    def name(self, msg_id: UUID) -> None:
        """Give a message its id that brought none."""
        self.msg_id, self._was_named = msg_id, True

    @property
    def answer(self) -> dict[str, Any]:
        """What the handler has to say to a sender that asked for an answer."""
        return self._answer

    @answer.setter
    def answer(self, found: dict[str, Any]) -> None:
        self._answer = found


class RunMessage(Message):
    """A message about one run."""

    run_id: RunId

    @property
    def run_number(self) -> int:
        return int(self.run_id)


class Asking(Message):
    """A command, or the answer to one. Who asks has ids of its own, which the answer brings back."""

    msg_id: Annotated[UUID, WithJsonSchema({"type": "string"})] = Field(
        default_factory=uuid7, description="Of a command, any text; of an answer, that of the command"
    )
    correlation_id: Annotated[
        UUID | None, WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "null"}]})
    ] = Field(None, description="Of a command, any text; of an answer, that of the command")


class RunWorkflow(Asking):
    meaning = "Start a run of this workflow; with run_id the run exists already and waits for the DAQ."
    msg_type: Literal["run_workflow"] = "run_workflow"
    workflow_name: str
    config: str = ""
    realtime: bool = True
    params: dict[str, Any] = Field(default_factory=dict)


class StatusRequest(Asking):
    meaning = "What is going on? Answered with the runs that the DAQ is at work on."
    msg_type: Literal["status_request"] = "status_request"


class Reply(Asking):
    meaning = (
        "The answer to a command whose sender asked for one. handed_on: it is for another testbed, which answers if it is "
        "there."
    )
    msg_type: Literal["reply"] = "reply"
    command: str
    status: Literal["ok", "error", "handed_on"]
    reason: str = ""
    result: dict[str, Any] = Field(default_factory=dict)


class ControlMessage(Asking):
    """What an operator wants of a run."""

    run_id: RunId
    reason: Text = ""
    requested_by: Text = ""

    @property
    def run_number(self) -> int:
        return int(self.run_id)


class PauseWorkflow(ControlMessage):
    meaning = "Stop taking data until resume_workflow; the run stays open."
    msg_type: Literal["pause_workflow"] = "pause_workflow"


class ResumeWorkflow(ControlMessage):
    meaning = "Go on taking data."
    msg_type: Literal["resume_workflow"] = "resume_workflow"


class StopWorkflow(Asking):
    meaning = (
        "End the run properly: no further STF, end_run with the count, closeout. Without run_id it is the run of this "
        "execution_id, or the only one under way in the namespace."
    )
    msg_type: Literal["stop_workflow"] = "stop_workflow"
    reason: Text = ""
    requested_by: Text = ""


class AbortWorkflow(ControlMessage):
    meaning = "End the run at once; what was taken stays and is made safe, the run settles as aborted."
    msg_type: Literal["abort_workflow"] = "abort_workflow"


class CoreStateMessage(RunMessage):
    """A change of the core state that the DAQ announces."""

    state: str
    substate: str


class RunImminent(CoreStateMessage):
    meaning = "A run number is assigned and beam is coming: prepare."
    msg_type: Literal["run_imminent"] = "run_imminent"
    dataset: str = ""
    run_conditions: dict[str, Any] = Field(default_factory=dict)


class StartRun(CoreStateMessage):
    meaning = "Datataking starts."
    msg_type: Literal["start_run"] = "start_run"


class PauseRun(CoreStateMessage):
    meaning = "Datataking pauses; the run stays open."
    msg_type: Literal["pause_run"] = "pause_run"
    reason: str = ""


class ResumeRun(CoreStateMessage):
    meaning = "Datataking goes on."
    msg_type: Literal["resume_run"] = "resume_run"


class EndRun(RunMessage):
    meaning = "Datataking has ended. Sent again with another count, it corrects the first."
    msg_type: Literal["end_run"] = "end_run"
    # A week at the real rate; a mistyped count must not make the proof list billions of missing STFs.
    total_stf_files: Annotated[
        int, Field(ge=0, le=1_000_000, description="How many STFs the DAQ made in this run")
    ]
    reason: Text = ""
    aborted: bool = False


class NamedStf(RunMessage):
    """An STF by its name and its place in the run."""

    filename: Annotated[str, Field(min_length=1, max_length=250, pattern=r"^[A-Za-z0-9._-]+$")]
    sequence: Sequence
    tf_first: TfNumber | None = None
    tf_count: Count | None = None
    state: str
    substate: str
    start: datetime | None = None
    end: datetime | None = None


class StfGen(NamedStf):
    meaning = (
        "An STF file is complete in the exit buffer. What is not said of the file, as by older producers, is looked up "
        "there."
    )
    msg_type: Literal["stf_gen"] = "stf_gen"
    file_url: FileUrl | None = None
    size_bytes: Bytes | None = None
    checksum: Checksum | None = None


class StfMessage(NamedStf):
    """What is said of one STF."""

    file_url: FileUrl
    size_bytes: Bytes
    checksum: Checksum


class StfReady(StfMessage):
    meaning = "The STF is registered in Rucio and in the run's dataset."
    msg_type: Literal["stf_ready"] = "stf_ready"
    dataset: str
    site: str = Field("", description="Where it will be processed; several sites with a comma between them")
    input_dataset: str = Field("", description="The dataset of that site from which it will be processed")
    decision_box_enabled: bool = Field(default=False, description="Whether it will be processed at all")


class StfFailed(StfMessage):
    meaning = "The STF cannot be registered, for this reason."
    msg_type: Literal["stf_failed"] = "stf_failed"
    reason: str


class StfReplicated(StfMessage):
    meaning = "The copy at this RSE is there and its checksum is the DAQ's."
    msg_type: Literal["stf_replicated"] = "stf_replicated"
    rse: str


class StfReplicaFailed(StfMessage):
    meaning = "The copy to this RSE failed, for this reason; it is tried again."
    msg_type: Literal["stf_replica_failed"] = "stf_replica_failed"
    rse: str
    reason: str


class StfReleasable(StfMessage):
    meaning = "Every copy is verified: the DAQ may delete its own."
    msg_type: Literal["stf_releasable"] = "stf_releasable"


class StfReleased(StfMessage):
    meaning = "The DAQ has deleted its copy."
    msg_type: Literal["stf_released"] = "stf_released"


class StfProcessed(RunMessage):
    meaning = "A PanDA job at this site has processed the STF."
    msg_type: Literal["stf_processed"] = "stf_processed"
    filename: str
    sequence: Sequence
    site: str
    panda_id: int
    jeditaskid: int | None = None
    outputs: list[dict[str, Any]] = Field(
        default_factory=list, description="did, size_bytes and checksum of each file that the job has made"
    )


class RunClosed(RunMessage):
    meaning = "The closeout's verdict, with its proof."
    msg_type: Literal["run_closed"] = "run_closed"
    state: Literal["closed", "incomplete", "aborted"]
    expected: int = 0
    registered: int = 0
    verified: dict[str, int] = Field(default_factory=dict)
    processed: dict[str, int] = Field(default_factory=dict, description="Number of processed STFs by site")
    outputs: int = Field(0, description="Registered files that processing has made")
    missing: list[dict[str, Any]] = Field(default_factory=list)
    forced_by: str = ""
    forced_reason: str = ""
