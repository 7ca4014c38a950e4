"""Of which namespaces the rows are that a request wants to be made: as its body says, before anything else is read of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Model
from rest_framework.exceptions import ValidationError
from rest_framework.fields import CharField
from rest_framework.request import Request

from apps.runs.api.fields import RunNumber
from apps.runs.api.taking import reader
from apps.runs.choices import SETTLED
from apps.runs.models import Namespace, Run, WorkflowExecution
from apps.stf.models import FastMonFile, FastMonSample, StfFile

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
}
_RUN, _STF, _SAMPLE, _TF_FILE = (
    f'"{model._meta.db_table}"' for model in (Run, StfFile, FastMonSample, FastMonFile)
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
}
# Where the existing agents also put the execution of a run.
_WITHIN = ("metadata", "run_conditions")
_NUMBER, _TEXT = reader(RunNumber()), reader(CharField())


def namespaces_named(request: Request) -> list[str]:
    """Those that the body names, or those of the rows that it names; this testbed's own if it names none that is known."""
    rows = request.data if isinstance(request.data, list) else [request.data]
    named = {name for row in rows if (name := named_by(row, "namespace"))}
    wanted: dict[type[Model], set[str | int]] = defaultdict(set)
    for row in rows:
        for model, value in _named_in(row):
            wanted[model].add(value)
    return sorted(named | _namespaces_of(wanted)) or [settings.SWF_NAMESPACE]


def named_by(row: Any, field: str) -> str:
    """The namespace that this field of a body names; empty if it names none."""
    return str(_usable(row.get(field), number=False) or "") if isinstance(row, Mapping) else ""


def namespaces_at_work(request: Request) -> list[str]:
    """That of the run which the body names, or without one those of all runs that are not settled."""
    if isinstance(request.data, Mapping) and request.data.get("run_number"):
        return namespaces_named(request)
    runs = Run.objects.exclude(lifecycle__in=SETTLED).order_by()
    return sorted(runs.values_list("namespace__name", flat=True).distinct())


def _namespaces_of(rows: Mapping[type[Model], set[str | int]]) -> set[str]:
    """Of the rows that are named so. In SQL, since every request that writes asks it."""
    if not rows:
        return set()
    which = " UNION ALL ".join(
        f"SELECT namespace_id FROM {place} WHERE {name} = ANY(%s)"  # noqa: S608 - own names
        for place, name in map(_ROWS.__getitem__, rows)
    )
    with connection.cursor() as cursor:
        cursor.execute(
            f'SELECT name FROM "{Namespace._meta.db_table}" WHERE id IN ({which})',  # noqa: S608 - own SQL
            [list(values) for values in rows.values()],
        )
        return {name for (name,) in cursor.fetchall()}


def _named_in(row: Any) -> Iterator[tuple[type[Model], str | int]]:
    if not isinstance(row, Mapping):
        return
    for name, model in _NAMING.items():
        if (value := row.get(name)) is not None:
            value = _usable(value, number=model is Run)
        if value is not None:
            yield model, value
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
        usable: str | int = (_NUMBER if number else _TEXT)(value)
    except ValidationError:
        return None
    return usable
