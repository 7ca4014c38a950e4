"""Of which namespaces the rows are that a request wants to be made: as its body says, before anything else is read of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Model
from rest_framework.exceptions import ValidationError
from rest_framework.fields import CharField, UUIDField
from rest_framework.request import Request

from apps.runs.access import NO_NAMESPACE
from apps.runs.api.fields import RunNumber
from apps.runs.api.taking import reader
from apps.runs.models import Namespace, Run, WorkflowExecution
from apps.stf.models import FastMonFile, FastMonSample, StfFile, TFSlice, Worker

# By the name of a field: which row it names.
_NAMING: Mapping[str, type[Model]] = {
    "run": Run,
    "run_number": Run,
    "run_id": Run,
    "execution_id": WorkflowExecution,
    "stf_filename": StfFile,
    "stf_file": StfFile,
    "fastmon_file": FastMonFile,
    "tf_filename": FastMonFile,
    "req_id": TFSlice,
    "worker_id": Worker,
}
_RUN, _STF, _SAMPLE, _TF_FILE, _SLICE = (
    f'"{model._meta.db_table}"' for model in (Run, StfFile, FastMonSample, FastMonFile, TFSlice)
)
# Where such rows lie, with the namespace of each, and by what they are named.
_ROWS: Mapping[type[Model], tuple[str, str]] = {
    Run: (_RUN, "run_number"),
    WorkflowExecution: (f'"{WorkflowExecution._meta.db_table}"', "execution_id"),
    StfFile: (f"{_RUN} AS run JOIN {_STF} AS stf ON stf.run_id = run.id", "stf_filename"),
    FastMonFile: (
        f"{_RUN} AS run JOIN {_SAMPLE} AS sample ON sample.run_id = run.id "
        f"JOIN {_TF_FILE} AS file ON file.sample_id = sample.id",
        "tf_filename",
    ),
    TFSlice: (f"{_RUN} AS run JOIN {_SLICE} AS slice ON slice.run_id = run.id", "req_id"),
    Worker: (f'"{Worker._meta.db_table}"', "worker_id"),
}
# Where the existing agents also put the execution of a run.
_WITHIN = ("metadata", "run_conditions")
_TEXT = reader(CharField())
_READERS: Mapping[type[Model] | None, Callable[[Any], Any]] = {
    Run: reader(RunNumber()),
    TFSlice: reader(UUIDField()),
}


def namespaces_named(request: Request) -> list[str]:
    """Those that the body names, or those of the rows that it names; this testbed's own if it names none that is known."""
    rows = request.data if isinstance(request.data, list) else [request.data]
    named = {name for row in rows if (name := named_by(row, "namespace"))}
    return sorted(named | _namespaces_of(rows)) or [settings.SWF_NAMESPACE]


def named_by(row: Any, field: str) -> str:
    """The namespace that this field of a body names; empty if it names none."""
    return str(_usable(row.get(field)) or "") if isinstance(row, Mapping) else ""


def namespaces_to_claim_in(request: Request) -> list[str]:
    """Those of the run and the worker that the body names. Of no run in particular slices are claimed of those runs only in
    whose namespaces the asker acts: it must act in one, whichever."""
    named = _namespaces_of([request.data])
    if isinstance(request.data, Mapping) and request.data.get("run_number"):
        return sorted(named) or [settings.SWF_NAMESPACE]
    return [*sorted(named), NO_NAMESPACE]


def _namespaces_of(rows: Iterable[Any]) -> set[str]:
    """Of the rows that these bodies name. In SQL, since every request that writes asks it."""
    wanted: dict[type[Model], set[Any]] = defaultdict(set)
    for row in rows:
        for model, value in _named_in(row):
            wanted[model].add(value)
    if not wanted:
        return set()
    which = " UNION ALL ".join(
        f"SELECT namespace_id FROM {place} WHERE {name} = ANY(%s)"  # noqa: S608 - own names
        for place, name in map(_ROWS.__getitem__, wanted)
    )
    with connection.cursor() as cursor:
        cursor.execute(
            f'SELECT name FROM "{Namespace._meta.db_table}" WHERE id IN ({which})',  # noqa: S608 - own SQL
            [list(values) for values in wanted.values()],
        )
        return {name for (name,) in cursor.fetchall()}


def _named_in(row: Any) -> Iterator[tuple[type[Model], Any]]:
    if not isinstance(row, Mapping):
        return
    for name, model in _NAMING.items():
        if (value := row.get(name)) is not None:
            value = _usable(value, model)
        if value is not None:
            yield model, value
    for name in _WITHIN:
        notes = row.get(name)
        value = _usable(notes.get("execution_id")) if isinstance(notes, Mapping) else None
        if value is not None:
            yield _NAMING["execution_id"], value


def _usable(value: Any, model: type[Model] | None = None) -> Any:
    """The value as the view will understand it; None if it will not, which it then says itself."""
    if value is None:
        return None
    try:
        return _READERS.get(model, _TEXT)(value)
    except ValidationError:
        return None
