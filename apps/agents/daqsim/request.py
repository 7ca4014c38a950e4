"""Requesting a run of the simulated DAQ, refusing at once what it could never make."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from django.conf import settings

from apps.runs import services as runs
from apps.runs.errors import FieldRefused
from apps.runs.models import Run
from apps.runs.served import served_namespaces
from apps.runs.workflow import LoadedWorkflow
from apps.stf.container.content import minimum_bytes

from .stf_source import files_to_stream


def request_run(workflow: LoadedWorkflow, *, namespace: str, requested_by: str) -> Run:
    """Request a run.

    Raises:
        FieldRefused: this testbed does not serve the namespace, or STFs of this size or from this directory cannot be made.
    """
    _check_served(namespace)
    stf = workflow.parameters.stf
    if stf.from_dir is not None:
        workflow = _with_files(workflow, Path(stf.from_dir))
    elif stf.size_bytes < (least := minimum_bytes(stf.tf_count)):
        raise FieldRefused(
            "stf.size_bytes",
            f"{stf.size_bytes} is too small: an STF of {stf.tf_count} TFs has at least {least} bytes; "
            "raise stf.size_bytes or lower stf.tf_count",
        )
    return runs.request_run(workflow, namespace=namespace, requested_by=requested_by)


def _check_served(namespace: str) -> None:
    """Its messages would be another testbed's, if one serves it on the same broker."""
    served = served_namespaces()
    if namespace not in served:
        raise FieldRefused(
            "namespace",
            f"{namespace!r} is not served by this testbed, which serves {', '.join(served)}: "
            "take one of these, or add it to SWF_NAMESPACES and start the testbed anew",
        )


def workflow_file(name: str) -> Path:
    """The TOML of this name in `workflows/`; nothing outside that directory.

    Raises:
        FieldRefused: there is none.
    """
    directory = settings.BASE_DIR / "workflows"
    stem = name.removesuffix(".toml")
    known = {path.stem: path for path in sorted(directory.glob("*.toml"))}
    if stem not in known:
        raise FieldRefused("workflow", f"{name!r} is unknown; there are {', '.join(known)}")
    return known[stem]


def _with_files(workflow: LoadedWorkflow, directory: Path) -> LoadedWorkflow:
    """The workflow with the list of its files, so that a DAQ that was killed goes on with the same ones."""
    if not directory.is_absolute():
        raise FieldRefused("stf.from_dir", f"{str(directory)!r} must be an absolute path")
    there = files_to_stream(directory)
    stf = workflow.parameters.stf
    if missing := [name for name in stf.files or () if name not in there]:
        raise FieldRefused("stf.files", f"{missing[0]!r} is no file in {str(directory)!r}")
    chosen = stf.files or tuple(there)
    if not chosen:
        raise FieldRefused("stf.from_dir", f"{str(directory)!r} holds no files")
    if odd := [name for name in chosen if not name.isprintable()]:
        raise FieldRefused(
            "stf.from_dir",
            f"{str(directory)!r} holds {odd[0]!r}: a name with bytes that are no text; rename it, or say in "
            "stf.files which ones to stream",
        )
    listed = stf.model_copy(update={"files": chosen})
    return replace(workflow, parameters=workflow.parameters.model_copy(update={"stf": listed}))
