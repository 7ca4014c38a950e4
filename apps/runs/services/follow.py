"""Runs of a DAQ that is not ours: taken over when they are announced, and followed as they are told."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import transaction

from .. import journal
from ..core_states import Pair, way, why_refused
from ..errors import TransitionRefused
from ..models import Run, WorkflowExecution
from ..workflow import LoadedWorkflow, load_workflow
from .core_state import advance
from .request import new_execution
from .rows import locked_run


def external_workflow() -> LoadedWorkflow:
    """What this testbed does with runs of another DAQ."""
    return load_workflow(settings.BASE_DIR / "workflows" / "external_daq.toml")


@transaction.atomic
def take_over_run(
    run_number: int,
    workflow: LoadedWorkflow,
    *,
    namespace: str,
    daq: str,
    execution_id: str = "",
    run_conditions: dict[str, Any] | None = None,
) -> Run:
    """The run of this number, known from now on; one that is known already is left as it is.

    `execution_id` is what its DAQ calls the execution: one that was declared over REST, or else kept if it is free.
    """
    known = Run.objects.select_related("execution", "namespace").filter(run_number=run_number).first()
    if known is not None:
        return known
    execution = _declared(execution_id) or new_execution(
        workflow, namespace=namespace, requested_by=daq, execution_id=execution_id
    )
    run = Run.objects.create(
        run_number=run_number,
        namespace=execution.namespace,
        execution=execution,
        run_conditions=run_conditions or {},
    )
    journal.record(journal.Change("run_taken_over", run=run, payload={"daq": daq}))
    return run


@transaction.atomic
def follow_daq(run_number: int, after: Pair, *, message: dict[str, Any] | None = None) -> Run:
    """Bring the core state to where the run's DAQ says it is, by the changes that it does not say.

    Raises:
        TransitionRefused: no such way leads there.
        NotFound: no such run.
    """
    run = locked_run(run_number)
    before = (run.state, run.substate)
    if before == after:
        return run
    steps = way(before, after)
    if not steps:
        raise TransitionRefused(f"run {run_number}: {why_refused(before, after)}")
    for step in steps:
        run = advance(run_number, step.after, message=message if step.name else None)
    return run


def _declared(execution_id: str) -> WorkflowExecution | None:
    """The execution that a runner has declared under this id, and that has no run yet."""
    declared = WorkflowExecution.objects.exclude(declared_status="").filter(run__isnull=True)
    return (
        declared.select_for_update(of=("self",))
        .select_related("namespace")
        .filter(execution_id=execution_id)
        .first()
    )
