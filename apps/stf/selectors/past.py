"""What was known of runs at a moment that is past, out of the journal alone.

The entries are counted by PostgreSQL; what comes here is one row per run, kind and place, and the last entry of each.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from apps.runs.history import TELLING, Moment, RunTold, run_told
from apps.runs.models import JournalEntry, Run

from .sums import summing

_FOLD = """
SELECT run_id, kind,
       CASE kind WHEN 'stf_replicated' THEN payload->>'rse'
                 WHEN 'stf_processed' THEN payload->>'site' END AS place,
       count(*), max(id), max(position)
FROM runs_journalentry
WHERE run_id = ANY(%(runs)s) AND {column} <= %(moment)s
GROUP BY 1, 2, 3
"""
# The kinds whose entries tell numbers, or of which an STF may have several. Of `sample_processed` the last one counts, whose
# numbers are the highest. By themselves, so that the many others are counted without a look at what they hold.
_NUMBERS = frozenset(
    {"run_retried", "samples_skipped", "slices_created", "tf_file_registered", "sample_processed"}
)
_FOLD_NUMBERS = """
SELECT run_id, kind, count(*), coalesce(sum(amount), 0)::bigint, coalesce(sum(done), 0)::bigint,
       coalesce(sum(failed), 0)::bigint, coalesce(sum(skipped), 0)::bigint
FROM (
  SELECT run_id, kind,
         sum(coalesce(payload->>'registrations', payload->>'count')::bigint) AS amount,
         max((payload->>'done')::bigint) AS done, max((payload->>'failed')::bigint) AS failed,
         max((payload->>'skipped')::bigint) AS skipped
  FROM runs_journalentry
  WHERE run_id = ANY(%(runs)s) AND {column} <= %(moment)s AND kind = ANY(%(kinds)s)
  GROUP BY run_id, kind, CASE kind WHEN 'sample_processed' THEN subject
                                   WHEN 'tf_file_registered' THEN payload->>'stf_filename' END
) AS part
GROUP BY run_id, kind
"""


@dataclass(frozen=True, slots=True)
class _Row:
    """The entries of a run, kind and place: how many, and the last of them."""

    run_id: int
    kind: str
    place: str | None
    entries: int
    last_id: int
    last_position: int | None


@dataclass(frozen=True, slots=True)
class _Numbers:
    """What the entries of a run and kind say, and of how many STFs."""

    parts: int = 0
    amount: int = 0
    done: int = 0
    failed: int = 0
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class SamplesPast:
    """What fast monitoring had made of STFs."""

    sampled: int
    skipped: int
    failed: int


@dataclass(frozen=True, slots=True)
class SlicesPast:
    """Slices that had been made; what became of them is told when the last one of their sample has ended."""

    created: int
    done: int
    failed: int
    skipped: int


@dataclass(frozen=True, slots=True)
class CountsPast:
    """How far the STFs of a run had come. `verified` counts by RSE, `processed` by site; `failed` are those that could not
    be registered."""

    generated: int
    registered: int
    failed: int
    verified: dict[str, int]
    releasable: int
    released: int
    processed: dict[str, int]
    samples: SamplesPast
    slices: SlicesPast


@dataclass(frozen=True, slots=True)
class RunPast:
    """What was known of a run. `last_event` is its last entry, `position` the highest one of its entries that had any."""

    run: Run
    told: RunTold
    counts: CountsPast
    entries: int
    position: int | None
    last_event: JournalEntry


def past_of(runs: Sequence[Run], moment: Moment) -> dict[int, RunPast]:
    """What was known of these runs by then, by the run's id, of which runs are left out that were not known at all; a
    fixed number of queries. Runs need their `execution` and `namespace`."""
    rows = _folded([run.pk for run in runs], moment)
    numbers = _numbers(rows, moment)
    entries = _last_entries(rows)
    return {
        run.pk: _past(
            run,
            rows[run.pk],
            numbers.get(run.pk, {}),
            [entries[pk] for pk in _wanted(rows[run.pk])],
        )
        for run in runs
        if run.pk in rows
    }


def _folded(run_ids: list[int], moment: Moment) -> dict[int, list[_Row]]:
    """The rows of each run that was known. What an agent says of a time before the run tells of no run."""
    found: dict[int, list[_Row]] = defaultdict(list)
    for values in _rows(_FOLD, run_ids, moment):
        row = _Row(*values)
        found[row.run_id].append(row)
    return {run_id: rows for run_id, rows in found.items() if any(row.kind in TELLING for row in rows)}


def _numbers(rows: Mapping[int, list[_Row]], moment: Moment) -> dict[int, dict[str, _Numbers]]:
    telling = [run_id for run_id, of_run in rows.items() if any(row.kind in _NUMBERS for row in of_run)]
    found: dict[int, dict[str, _Numbers]] = defaultdict(dict)
    if telling:
        for run_id, kind, *numbers in _rows(_FOLD_NUMBERS, telling, moment):
            found[run_id][kind] = _Numbers(*numbers)
    return found


def _rows(sql: str, run_ids: list[int], moment: Moment) -> list[tuple[Any, ...]]:
    named: dict[str, Any] = {"runs": run_ids, "moment": moment.value, "kinds": sorted(_NUMBERS)}
    with summing() as cursor:
        cursor.execute(sql.format(column=moment.column), named)
        return list(cursor.fetchall())


def _wanted(rows: Iterable[_Row]) -> set[int]:
    """The last entries of the kinds that say what the run is, and the last of all."""
    telling = {row.last_id for row in rows if row.kind in TELLING}
    return telling | {max(row.last_id for row in rows)}


def _last_entries(rows: Mapping[int, list[_Row]]) -> dict[int, JournalEntry]:
    wanted = [pk for of_run in rows.values() for pk in _wanted(of_run)]
    return JournalEntry.objects.in_bulk(wanted)


def _past(
    run: Run, rows: list[_Row], numbers: Mapping[str, _Numbers], entries: list[JournalEntry]
) -> RunPast:
    return RunPast(
        run=run,
        told=run_told({entry.kind: entry for entry in entries}),
        counts=_counts(run, rows, numbers),
        entries=sum(row.entries for row in rows),
        position=max((row.last_position for row in rows if row.last_position), default=None),
        last_event=max(entries, key=lambda entry: entry.pk),
    )


def _counts(run: Run, rows: list[_Row], numbers: Mapping[str, _Numbers]) -> CountsPast:
    entries = {row.kind: row.entries for row in rows if row.place is None}
    none = _Numbers()

    def said(kind: str) -> int:
        return entries.get(kind, 0)

    def by_place(kind: str) -> dict[str, int]:
        return {str(row.place): row.entries for row in rows if row.kind == kind}

    verified: dict[str, int] = dict.fromkeys(run.parameters["replication"]["rses"], 0)
    released, through = said("stf_released"), numbers.get("sample_processed", none)
    retried = said("stf_retried") + numbers.get("run_retried", none).amount
    return CountsPast(
        generated=said("stf_gen"),
        registered=said("stf_ready"),
        failed=said("stf_failed") - retried,
        verified=verified | by_place("stf_replicated"),
        releasable=said("stf_releasable") - released,
        released=released,
        processed=by_place("stf_processed"),
        samples=SamplesPast(
            sampled=numbers.get("tf_file_registered", none).parts,
            skipped=numbers.get("samples_skipped", none).amount,
            failed=said("sample_failed"),
        ),
        slices=SlicesPast(
            created=numbers.get("slices_created", none).amount,
            done=through.done,
            failed=through.failed,
            skipped=through.skipped,
        ),
    )


class Difference(NamedTuple):
    """A field at two moments; None before a run was known."""

    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class RunChanges:
    """What of a run differs between two moments, by the name of the field, with dots within `counts`."""

    run: Run
    changed: dict[str, Difference]


def changes_of(runs: Sequence[Run], since: Moment, until: Moment) -> list[RunChanges]:
    """What of these runs differs, in their order; a fixed number of queries. Runs need their `execution` and `namespace`."""
    before, after = past_of(runs, since), past_of(runs, until)
    return [RunChanges(run, _difference(before.get(run.pk), after.get(run.pk))) for run in runs]


def _difference(before: RunPast | None, after: RunPast | None) -> dict[str, Difference]:
    old, new = _flat(before), _flat(after)
    names = [name for name in new if old.get(name) != new[name]]
    return {name: Difference(old.get(name), new[name]) for name in names}


def _flat(past: RunPast | None) -> dict[str, Any]:
    return _flattened({**asdict(past.told), "counts": asdict(past.counts)}) if past else {}


def _flattened(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= (
            _flattened(value, f"{prefix}{name}.")
            if isinstance(value, Mapping)
            else {f"{prefix}{name}": value}
        )
    return flat
