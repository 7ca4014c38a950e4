"""What messages mean to the DAQ."""

from __future__ import annotations

from typing import Any

from django.conf import settings

from apps.runs.errors import DomainError
from apps.runs.models import Run
from apps.runs.selectors import get_run
from apps.runs.workflow import WorkflowError, load_workflow

from ..bus import schemas
from ..choices import DaqCommand
from . import checkpoint
from .request import request_run, workflow_file


def run_workflow(message: schemas.RunWorkflow) -> dict[str, Any]:
    """Take on a requested run; or request one, if the message comes from elsewhere and names none.

    Returns:
        The run's number and execution id.

    Raises:
        DomainError: the workflow is unknown or a parameter is wrong.
    """
    if message.run_number is not None:
        run = get_run(message.run_number)
        checkpoint.take_on(run)
        return _named(run)
    path = workflow_file(message.config or message.workflow_name)
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
    return _named(run)


def status_request(message: schemas.StatusRequest) -> dict[str, Any]:
    """What the DAQ is at work on, in the namespace of the question."""
    namespace = message.namespace or settings.SWF_NAMESPACE
    runs = [get_run(number) for number in checkpoint.runs_at_work(namespace=namespace, execution_id=None)]
    return {
        "runs": [
            {**_named(run), "lifecycle": run.lifecycle, "state": run.state, "substate": run.substate}
            for run in runs
        ]
    }


def pause_workflow(message: schemas.PauseWorkflow) -> None:
    """Hold the run at its next STF."""
    checkpoint.set_command(message.run_number, DaqCommand.PAUSE, message.reason)


def resume_workflow(message: schemas.ResumeWorkflow) -> None:
    """Take back a pause."""
    checkpoint.set_command(message.run_number, DaqCommand.NONE, message.reason)


def stop_workflow(message: schemas.StopWorkflow) -> dict[str, Any]:
    """End the run after the STF in the making; returned is which one that is."""
    number = _run_to_stop(message)
    checkpoint.set_command(number, DaqCommand.STOP, message.reason)
    return _named(get_run(number))


def abort_workflow(message: schemas.AbortWorkflow) -> None:
    """End the run; it settles as aborted."""
    checkpoint.set_command(message.run_number, DaqCommand.ABORT, message.reason)


def _named(run: Run) -> dict[str, Any]:
    return {"run_id": str(run.run_number), "execution_id": run.execution.execution_id}


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
