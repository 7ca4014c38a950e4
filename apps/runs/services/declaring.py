"""Definitions and executions of another system's workflows, as its runner declares them over REST."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from .. import journal
from ..choices import EXECUTION_MOVES, ExecutionStatus
from ..errors import FieldRefused, NotFound
from ..models import WorkflowDefinition, WorkflowExecution
from ..selectors import execution_status
from .follow import external_workflow
from .numbers import next_number
from .request import ensure_namespace
from .saying import said_over_rest


@dataclass(frozen=True, kw_only=True)
class SaidDefinition:
    """A version of a workflow as its runner calls it."""

    workflow_name: str
    version: str
    definition: str
    parameter_values: dict[str, Any]
    workflow_type: str = "simulation"
    created_by: str = ""

    @property
    def content_hash(self) -> str:
        """SHA-256 of all that makes two declarations the same."""
        content = [
            self.workflow_name,
            self.version,
            self.workflow_type,
            self.definition,
            self.parameter_values,
        ]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class SaidExecution:
    """A use of a definition as its runner describes it; without a namespace it is in this testbed's."""

    execution_id: str
    workflow_definition: WorkflowDefinition
    namespace: str = ""
    executed_by: str = ""
    status: ExecutionStatus = ExecutionStatus.RUNNING
    parameter_values: dict[str, Any] = field(default_factory=dict)
    performance_metrics: dict[str, Any] = field(default_factory=dict)
    start_time: datetime | None = None


def declare_definition(said: SaidDefinition, *, by: str) -> tuple[WorkflowDefinition, bool]:
    """The definition of this content, known from now on.

    Returns:
        The definition, and whether it was not known before.

    Raises:
        FieldRefused: this version of the workflow is known with other content.
    """
    try:
        return _declare_definition(said, by)
    except IntegrityError:
        # Declared elsewhere at the same moment: this time it is known.
        return _declare_definition(said, by)


def declare_execution(said: SaidExecution, *, by: str) -> tuple[WorkflowExecution, bool]:
    """The execution of this id, known from now on. The run that is announced under its id is its run.

    Returns:
        The execution, and whether it was not known before.

    Raises:
        FieldRefused: the id belongs to another execution.
    """
    try:
        return _declare_execution(said, by)
    except IntegrityError:
        return _declare_execution(said, by)


@transaction.atomic
def report_execution(
    execution: WorkflowExecution,
    *,
    by: str,
    status: ExecutionStatus | None = None,
    end_time: datetime | None = None,
    performance_metrics: dict[str, Any] | None = None,
) -> WorkflowExecution:
    """Write down what a runner says of its execution, whose row is locked; None is what it does not say.

    Raises:
        FieldRefused: the status does not follow on the present one, or is that of a run of this testbed.
    """
    changed: dict[str, Any] = {}
    now = execution_status(execution)
    if status is not None and status != now:
        _check_move(execution, now, status)
        changed["declared_status"] = status.value
        if not EXECUTION_MOVES[status]:
            changed["end_time"] = end_time or timezone.now()
    if performance_metrics is not None and performance_metrics != execution.performance_metrics:
        changed["performance_metrics"] = performance_metrics
    if changed:
        for name, value in changed.items():
            setattr(execution, name, value)
        execution.save(update_fields=list(changed))
        _record("execution_reported", execution, by, status=execution_status(execution).value)
    return execution


def locked_execution(execution_id: str) -> WorkflowExecution:
    """The execution, locked until the transaction ends.

    Raises:
        NotFound: there is none of this id.
    """
    executions = WorkflowExecution.objects.select_for_update(of=("self",))
    execution = (
        executions.select_related("run", "namespace", "workflow_definition")
        .filter(execution_id=execution_id)
        .first()
    )
    if execution is None:
        raise NotFound(f"there is no execution {execution_id}")
    return execution


@transaction.atomic
def _declare_definition(said: SaidDefinition, by: str) -> tuple[WorkflowDefinition, bool]:
    versions = WorkflowDefinition.objects.filter(workflow_name=said.workflow_name)
    known = versions.filter(declared_version=said.version).first()
    if known is not None:
        if known.content_hash == said.content_hash:
            return known, False
        raise FieldRefused(
            "version",
            f"{said.workflow_name} {said.version} is known with other content, and definitions never change: "
            "give this one another version",
        )
    made = WorkflowDefinition.objects.create(
        workflow_name=said.workflow_name,
        version=next_number(f"definition:{said.workflow_name}", first=1),
        declared_version=said.version,
        workflow_type=said.workflow_type,
        definition=said.definition,
        content_hash=said.content_hash,
        parameter_values=said.parameter_values,
        created_by=said.created_by or by,
    )
    with said_over_rest(by):
        payload = {"workflow_name": said.workflow_name, "version": said.version}
        journal.record(journal.Change("definition_declared", subject=str(made), payload=payload))
    return made, True


@transaction.atomic
def _declare_execution(said: SaidExecution, by: str) -> tuple[WorkflowExecution, bool]:
    known = WorkflowExecution.objects.filter(execution_id=said.execution_id).first()
    if known is not None:
        same = (known.workflow_definition_id, known.declared_parameters)
        if known.declared_status and same == (said.workflow_definition.pk, said.parameter_values):
            return known, False
        raise FieldRefused(
            "execution_id",
            f"{said.execution_id} is another execution: take the next number from "
            "state/next-workflow-execution-id/",
        )
    made = WorkflowExecution.objects.create(
        execution_id=said.execution_id,
        workflow_definition=said.workflow_definition,
        namespace=ensure_namespace(said.namespace or settings.SWF_NAMESPACE, owner=by),
        executed_by=said.executed_by or by,
        # What this testbed does with its run; the runner's own mean nothing here.
        parameter_values=external_workflow().parameters.model_dump(mode="json"),
        declared_parameters=said.parameter_values,
        declared_status=said.status.value,
        performance_metrics=said.performance_metrics,
        start_time=said.start_time or timezone.now(),
    )
    _record("execution_declared", made, by, status=said.status.value)
    return made, True


def _check_move(execution: WorkflowExecution, now: ExecutionStatus, after: ExecutionStatus) -> None:
    if not execution.declared_status:
        raise FieldRefused("status", f"{execution} is {now.value} as its run, which nobody else can say")
    possible = sorted(EXECUTION_MOVES[now])
    if after not in possible:
        raise FieldRefused(
            "status",
            f"{now.value} does not lead to {after.value}; it leads to {', '.join(possible) or 'nothing'}",
        )


def _record(kind: str, execution: WorkflowExecution, by: str, *, status: str) -> None:
    with said_over_rest(by):
        change = journal.Change(
            kind,
            run=getattr(execution, "run", None),
            namespace=execution.namespace,
            subject=execution.execution_id,
            payload={"execution_id": execution.execution_id, "status": status},
        )
        journal.record(change)
