"""Requesting a run of the simulated DAQ, refusing at once what it could never make."""

from __future__ import annotations

from pathlib import Path

from apps.runs import services as runs
from apps.runs.errors import DomainError
from apps.runs.models import Run
from apps.runs.workflow import LoadedWorkflow
from apps.stf.container.content import minimum_bytes

from .stf_source import files_to_stream


def request_run(workflow: LoadedWorkflow, *, namespace: str, requested_by: str) -> Run:
    """Request a run.

    Raises:
        DomainError: STFs of this size or from this directory cannot be made.
    """
    stf = workflow.parameters.stf
    if stf.from_dir is not None:
        if not Path(stf.from_dir).is_absolute():
            raise DomainError(f"stf.from_dir = {stf.from_dir!r} must be an absolute path")
        if not files_to_stream(Path(stf.from_dir)):
            raise DomainError(f"stf.from_dir = {stf.from_dir!r} holds no files")
    elif stf.size_bytes < (least := minimum_bytes(stf.tf_count)):
        raise DomainError(
            f"stf.size_bytes = {stf.size_bytes}: an STF of {stf.tf_count} TFs has at least {least} bytes; "
            "raise stf.size_bytes or lower stf.tf_count"
        )
    return runs.request_run(workflow, namespace=namespace, requested_by=requested_by)
