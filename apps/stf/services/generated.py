"""An STF has landed in the exit buffer: the DAQ's word for it becomes a row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import datetime

from django.db import connection, transaction

from apps.runs import journal
from apps.runs.choices import SETTLED
from apps.runs.errors import FieldRefused, NotFound
from apps.runs.inserting import insert_if_all_new, insert_if_new
from apps.runs.models import Run

from ..choices import Registration
from ..messages import stf_fields
from ..models import StfFile

_RUN_FIELDS = ["id", "run_number", "namespace_id", "lifecycle"]  # the rest is read if it is asked for
_RUNS = f"""
SELECT {", ".join(_RUN_FIELDS)} FROM "{Run._meta.db_table}" WHERE run_number = ANY(%s)
"""  # noqa: S608 - own names of table and columns
# What makes two announcements of one sequence the same.
_IDENTITY = ("stf_filename", "size_bytes", "checksum")


@dataclass(frozen=True, kw_only=True)
class GeneratedStf:
    """What the DAQ says of an STF. Sizes in bytes, checksum adler32 as 8 hexadecimal digits, times UTC."""

    sequence: int
    stf_filename: str
    file_url: str
    size_bytes: int
    checksum: str
    daq_state: str
    daq_substate: str
    generated_at: datetime
    tf_first: int | None = None
    tf_count: int | None = None
    begin_time: datetime | None = None
    end_time: datetime | None = None


@dataclass(frozen=True)
class Announcement:
    """An STF of a run, and on whose account it is recorded."""

    run_number: int
    stf: GeneratedStf
    cause: journal.Cause


@contextmanager
def _a_transaction() -> Iterator[None]:
    """The one in progress, or one of its own.

    A nested `atomic` would be a savepoint, two round trips of each message, for nothing: what refuses has not written.
    """
    if connection.in_atomic_block:
        yield
        return
    with transaction.atomic():
        yield


@_a_transaction()
def record_generated(run_number: int, stf: GeneratedStf) -> StfFile:
    """Record an announced STF; saying the same again changes nothing.

    One that failed to register may be announced anew, with other bytes too: it then waits for registration again.

    Raises:
        NotFound: no such run.
        FieldRefused: the run is settled, or this sequence or name was announced with other bytes.
    """
    run = _open_runs([run_number])[run_number]
    created = StfFile(run=run, **vars(stf))
    if insert_if_new(created):
        if journal.current_cause().heard:
            journal.record(_said(created))
        return created
    known = StfFile.objects.select_for_update().filter(run=run, sequence=stf.sequence).first()
    namesakes = StfFile.objects.filter(stf_filename=stf.stf_filename)
    if known is None or namesakes.exclude(pk=known.pk).exists():
        raise FieldRefused(
            "stf_filename", f"run {run_number}: the name {stf.stf_filename!r} belongs to another STF"
        )
    if known.registration == Registration.FAILED:
        return _announce_again(known, stf)
    differing = [name for name in _IDENTITY if getattr(known, name) != getattr(stf, name)]
    if differing:
        said = ", ".join(f"{n}={getattr(stf, n)!r} (known: {getattr(known, n)!r})" for n in differing)
        raise FieldRefused("sequence", f"{stf.sequence} of run {run_number} is taken by another file: {said}")
    return known


@_a_transaction()
def record_if_all_new(announced: Sequence[Announcement]) -> list[StfFile]:
    """Record announced STFs, unless a sequence or name is known, or there twice: then nothing is written, and none returned.

    Raises:
        NotFound, FieldRefused: as `record_generated`, of any of them.
    """
    runs = _open_runs(one.run_number for one in announced)
    created = [StfFile(run=runs[one.run_number], **vars(one.stf)) for one in announced]
    if not insert_if_all_new(created):
        return []
    journal.record_many(
        [_said(stf, one.cause) for stf, one in zip(created, announced, strict=True) if one.cause.heard]
    )
    return created


@_a_transaction()
def record_generated_many(announced: Sequence[Announcement]) -> list[StfFile]:
    """Record announced STFs, as `record_generated` does one after the other; if all are new, in a few statements.

    Returns:
        The STFs in the same order.

    Raises:
        NotFound, FieldRefused: as `record_generated`, of any of them.
    """
    if created := record_if_all_new(announced):
        return created
    # A savepoint if it must be: one that refuses comes after others that have written.
    with transaction.atomic():
        return [_record_one(one) for one in announced]


def _record_one(announced: Announcement) -> StfFile:
    with journal.because_of(announced.cause):
        return record_generated(announced.run_number, announced.stf)


def _open_runs(run_numbers: Iterable[int]) -> dict[int, Run]:
    """The runs of these numbers, which all take STFs."""
    wanted = set(run_numbers)
    # Asked for in SQL: Django would build this question anew for each message, in more time than it is answered in.
    with connection.cursor() as cursor:
        cursor.execute(_RUNS, [list(wanted)])
        found = [Run.from_db(connection.alias, _RUN_FIELDS, row) for row in cursor.fetchall()]
    runs = {run.run_number: run for run in found}
    for run_number in sorted(wanted):
        run = runs.get(run_number)
        if run is None:
            raise NotFound(f"there is no run {run_number}")
        if run.lifecycle in SETTLED:
            raise FieldRefused(
                "run",
                f"{run_number} is {run.lifecycle}: it takes no more STFs; "
                "a corrected end_run with a higher total_stf_files opens one of another DAQ again",
            )
    return runs


def _said(stf: StfFile, cause: journal.Cause | None = None) -> journal.Change:
    """The entry of a message heard; what our own DAQ says it has written into the journal itself."""
    return journal.Change(
        "stf_gen", run=stf.run, subject=stf.stf_filename, payload=stf_fields(stf), cause=cause
    )


def _announce_again(known: StfFile, stf: GeneratedStf) -> StfFile:
    for field in fields(stf):
        setattr(known, field.name, getattr(stf, field.name))
    known.registration, known.registration_reason = Registration.GENERATED, ""
    known.save()
    journal.record(journal.Change("stf_retried", run=known.run, subject=known.stf_filename))
    return known
