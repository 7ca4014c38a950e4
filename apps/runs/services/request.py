"""Requesting a run: its definition, its execution, its number, and the message that sets the DAQ to work."""

from __future__ import annotations

import hashlib
import json
import subprocess
from functools import cache
from typing import Any

from django.conf import settings
from django.db import transaction

from .. import journal
from ..models import Namespace, Run, WorkflowDefinition, WorkflowExecution
from ..workflow import LoadedWorkflow
from .numbers import give_back, next_number, next_run_number


@transaction.atomic
def request_run(workflow: LoadedWorkflow, *, namespace: str, requested_by: str) -> Run:
    """Create a run in state `requested` and say `run_workflow`.

    The run number and the execution's sequence are drawn in this transaction, so that a failure leaves no gap and two
    requests never share one.
    """
    execution = new_execution(workflow, namespace=namespace, requested_by=requested_by)
    run = Run.objects.create(
        run_number=next_run_number(),
        namespace=execution.namespace,
        execution=execution,
    )
    with journal.on_behalf_of(requested_by):
        journal.record(
            journal.Change(
                "run_workflow",
                run=run,
                payload={
                    "workflow_name": workflow.name,
                    "config": workflow.sources[-1].name if workflow.sources else "",
                    "realtime": workflow.parameters.workflow.realtime,
                    "params": execution.parameter_values,
                },
            )
        )
    return run


def new_execution(
    workflow: LoadedWorkflow, *, namespace: str, requested_by: str, execution_id: str = ""
) -> WorkflowExecution:
    """A use of the workflow, with its definition; under this id if it is free, else under the next of this workflow and
    person.
    """
    space = ensure_namespace(namespace, owner=requested_by)
    parameters = workflow.parameters.model_dump(mode="json")
    if not execution_id or _is_taken(execution_id):
        execution_id = _next_execution_id(f"{workflow.name}-{requested_by}")
    return WorkflowExecution.objects.create(
        execution_id=execution_id,
        workflow_definition=_definition(workflow, parameters, created_by=requested_by),
        namespace=space,
        executed_by=requested_by,
        parameter_values=parameters,
        git_version=git_version(),
    )


def ensure_namespace(name: str, *, owner: str) -> Namespace:
    """The namespace of this name, made on first use."""
    return Namespace.objects.get_or_create(name=name, defaults={"owner": owner})[0]


@transaction.atomic
def open_namespace(name: str, *, by: str, owner: str = "", description: str = "") -> tuple[Namespace, bool]:
    """The namespace that somebody asks for, and whether it was made by this; one that is there is left as it is.

    Args:
        owner: whose it is to be, if not of who asks.
    """
    space, created = Namespace.objects.get_or_create(
        name=name, defaults={"owner": owner or by, "description": description}
    )
    if created:
        with journal.on_behalf_of(by):
            payload = {"owner": space.owner}
            journal.record(
                journal.Change("namespace_created", subject=name, payload=payload, namespace=space)
            )
    return space, created


def git_version() -> dict[str, Any]:
    """Branch and commit of the code that runs, and whether its tree was clean; empty outside a git checkout."""
    try:
        return _git_version()
    except (OSError, subprocess.SubprocessError):
        return {}


@cache
def _git_version() -> dict[str, Any]:
    """Asked once: a process goes on with the code it was started with, whatever happens to the checkout."""

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=settings.BASE_DIR, capture_output=True, text=True, timeout=5, check=True
        )
        return done.stdout.strip()

    return {
        "branch": git("rev-parse", "--abbrev-ref", "HEAD"),
        "commit": git("rev-parse", "HEAD"),
        "clean": git("status", "--porcelain", "--untracked-files=no") == "",
    }


def _next_execution_id(prefix: str) -> str:
    """The next id of this workflow and person; those that another runner gave to an execution are skipped."""
    while _is_taken(name := f"{prefix}-{next_number(f'execution:{prefix}', first=1):04d}"):
        pass
    return name


def _is_taken(execution_id: str) -> bool:
    return WorkflowExecution.objects.filter(execution_id=execution_id).exists()


def _definition(
    workflow: LoadedWorkflow, parameters: dict[str, Any], *, created_by: str
) -> WorkflowDefinition:
    """The version of the definition that has these parameters, a new one if none has."""
    canonical = json.dumps([workflow.name, parameters], sort_keys=True)
    content_hash = hashlib.sha256(canonical.encode()).hexdigest()
    known = WorkflowDefinition.objects.filter(workflow_name=workflow.name, content_hash=content_hash)
    if found := known.first():
        return found
    # The counter's row lock makes a rival with the same content wait here; it then finds this one.
    version = next_number(f"definition:{workflow.name}", first=1)
    if found := known.first():
        give_back(f"definition:{workflow.name}")
        return found
    return WorkflowDefinition.objects.create(
        workflow_name=workflow.name,
        version=version,
        definition=workflow.text,
        content_hash=content_hash,
        parameter_values=parameters,
        created_by=created_by,
    )
