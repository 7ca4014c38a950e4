"""Of which namespaces the rows are that a request wants to be made: as its body says, before anything else is read of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from django.conf import settings
from django.db.models import Model
from rest_framework.exceptions import ValidationError
from rest_framework.fields import CharField
from rest_framework.request import Request

from apps.runs.api.fields import RunNumber
from apps.runs.choices import SETTLED
from apps.runs.models import Run, WorkflowExecution
from apps.stf.models import FastMonFile, StfFile

# By the name of a field: which row it names, by which of its fields, and how to come from there to the namespace.
_NAMING: Mapping[str, tuple[type[Model], str, str]] = {
    "run": (Run, "run_number", "namespace__name"),
    "run_number": (Run, "run_number", "namespace__name"),
    "run_id": (Run, "run_number", "namespace__name"),
    "execution_id": (WorkflowExecution, "execution_id", "namespace__name"),
    "stf_filename": (StfFile, "stf_filename", "run__namespace__name"),
    "stf_file": (StfFile, "stf_filename", "run__namespace__name"),
    "fastmon_file": (FastMonFile, "tf_filename", "sample__run__namespace__name"),
    "tf_filename": (FastMonFile, "tf_filename", "sample__run__namespace__name"),
}
# Where the existing agents also put the execution of a run.
_WITHIN = ("metadata", "run_conditions")
_NUMBER, _TEXT = RunNumber(), CharField()


def namespaces_named(request: Request) -> list[str]:
    """Those that the body names, or those of the rows that it names; this testbed's own if it names none that is known."""
    rows = request.data if isinstance(request.data, list) else [request.data]
    named = {name for row in rows if (name := named_by(row, "namespace"))}
    wanted: dict[tuple[type[Model], str, str], set[str | int]] = defaultdict(set)
    for row in rows:
        for way, value in _named_in(row):
            wanted[way].add(value)
    for (model, field, path), values in wanted.items():
        found = model._default_manager.filter(**{f"{field}__in": values})
        named.update(found.values_list(path, flat=True).distinct())
    return sorted(named) or [settings.SWF_NAMESPACE]


def named_by(row: Any, field: str) -> str:
    """The namespace that this field of a body names; empty if it names none."""
    return str(_usable(row.get(field), number=False) or "") if isinstance(row, Mapping) else ""


def namespaces_at_work(request: Request) -> list[str]:
    """That of the run which the body names, or without one those of all runs that are not settled."""
    if isinstance(request.data, Mapping) and request.data.get("run_number"):
        return namespaces_named(request)
    runs = Run.objects.exclude(lifecycle__in=SETTLED).order_by()
    return sorted(runs.values_list("namespace__name", flat=True).distinct())


def _named_in(row: Any) -> Iterator[tuple[tuple[type[Model], str, str], str | int]]:
    if not isinstance(row, Mapping):
        return
    for name, way in _NAMING.items():
        value = _usable(row.get(name), number=way[0] is Run)
        if value is not None:
            yield way, value
    for name in _WITHIN:
        notes = row.get(name)
        value = _usable(notes.get("execution_id"), number=False) if isinstance(notes, Mapping) else None
        if value is not None:
            yield _NAMING["execution_id"], value


def _usable(value: Any, *, number: bool) -> str | int | None:
    """The value as the view will understand it; None if it will not, which it then says itself."""
    if value is None:
        return None
    try:
        usable: str | int = (_NUMBER if number else _TEXT).run_validation(value)
    except ValidationError:
        return None
    return usable
