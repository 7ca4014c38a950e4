"""Every message of the bus by its `msg_type`."""

from __future__ import annotations

from . import fast_schemas, schemas
from .schemas import Message


def _msg_type(model: type[Message]) -> str:
    return str(model.model_fields["msg_type"].default)


MESSAGES: dict[str, type[Message]] = {
    _msg_type(model): model
    for model in (
        schemas.RunWorkflow,
        schemas.StatusRequest,
        schemas.Reply,
        schemas.PauseWorkflow,
        schemas.ResumeWorkflow,
        schemas.StopWorkflow,
        schemas.AbortWorkflow,
        schemas.RunImminent,
        schemas.StartRun,
        schemas.PauseRun,
        schemas.ResumeRun,
        schemas.EndRun,
        schemas.StfGen,
        schemas.StfReady,
        schemas.StfFailed,
        schemas.StfReplicated,
        schemas.StfReplicaFailed,
        schemas.StfReleasable,
        schemas.StfReleased,
        schemas.StfProcessed,
        schemas.RunClosed,
        fast_schemas.TfFileRegistered,
        fast_schemas.RunImminentWorker,
        fast_schemas.Slice,
        fast_schemas.SliceResult,
        fast_schemas.WorkerHeartbeat,
        fast_schemas.StopTransformer,
    )
}
