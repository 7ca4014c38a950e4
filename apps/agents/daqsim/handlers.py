"""What messages mean to the DAQ."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings

from apps.runs.errors import DomainError
from apps.runs.selectors import get_run
from apps.runs.workflow import WorkflowError, load_workflow

from ..bus import schemas
from ..choices import DaqCommand
from . import checkpoint
from .request import request_run


def run_workflow(message: schemas.RunWorkflow) -> None:
    """Take on a requested run; or request one, if the message comes from elsewhere and names none.

    Raises:
        DomainError: the workflow is unknown or a parameter is wrong.
    """
    if message.run_number is not None:
        checkpoint.take_on(get_run(message.run_number))
        return
    path = _workflow_file(message.config or message.workflow_name)
    try:
        workflow = load_workflow(path, message.params)
    except WorkflowError as error:
        raise DomainError(f"run_workflow: {error}") from error
    run = request_run(
        workflow,
        namespace=message.namespace or settings.SWF_NAMESPACE,
        requested_by=message.sender or "unknown",
    )
    checkpoint.take_on(run)


def pause_workflow(message: schemas.PauseWorkflow) -> None:
    """Hold the run at its next STF."""
    checkpoint.set_command(message.run_number, DaqCommand.PAUSE, message.reason)


def resume_workflow(message: schemas.ResumeWorkflow) -> None:
    """Take back a pause."""
    checkpoint.set_command(message.run_number, DaqCommand.NONE, message.reason)


def stop_workflow(message: schemas.StopWorkflow) -> None:
    """End the run after the STF in the making."""
    checkpoint.set_command(_run_to_stop(message), DaqCommand.STOP, message.reason)


def abort_workflow(message: schemas.AbortWorkflow) -> None:
    """End the run; it settles as aborted."""
    checkpoint.set_command(message.run_number, DaqCommand.ABORT, message.reason)


def _run_to_stop(message: schemas.StopWorkflow) -> int:
    """The run that is meant; producers of the existing system name none, their DAQ takes one at a time."""
    if message.run_number is not None:
        return message.run_number
    namespace = message.namespace or settings.SWF_NAMESPACE
    meant = checkpoint.runs_at_work(namespace=namespace, execution_id=message.execution_id)
    if len(meant) != 1:
        numbers = ", ".join(map(str, meant)) or "none"
        raise DomainError(
            f"stop_workflow without run_id: the runs under way that could be meant are {numbers}"
        )
    return meant[0]


def _workflow_file(name: str) -> Path:
    """The TOML of this name in `workflows/`; nothing outside that directory."""
    directory = settings.BASE_DIR / "workflows"
    stem = name.removesuffix(".toml")
    known = {path.stem: path for path in sorted(directory.glob("*.toml"))}
    if stem not in known:
        raise DomainError(f"workflow {name!r} is unknown; there are {', '.join(known)}")
    return known[stem]
