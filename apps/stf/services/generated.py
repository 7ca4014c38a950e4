"""An STF has landed in the exit buffer: the DAQ's word for it becomes a row."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from datetime import datetime

from django.db import IntegrityError, transaction
from psycopg.errors import UniqueViolation

from apps.runs import journal
from apps.runs.choices import SETTLED
from apps.runs.errors import DomainError, NotFound
from apps.runs.models import Run

from ..choices import Registration
from ..messages import stf_fields
from ..models import StfFile

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


@transaction.atomic
def record_generated(run_number: int, stf: GeneratedStf) -> StfFile:
    """Record an announced STF; saying the same again changes nothing.

    One that failed to register may be announced anew, with other bytes too: it then waits for registration again.

    Raises:
        NotFound: no such run.
        DomainError: the run is settled, or this sequence or name was announced with other bytes.
    """
    run = Run.objects.filter(run_number=run_number).first()
    if run is None:
        raise NotFound(f"there is no run {run_number}")
    if run.lifecycle in SETTLED:
        raise DomainError(
            f"run {run_number} is {run.lifecycle}: it takes no more STFs; "
            "a corrected end_run with a higher total_stf_files opens it again"
        )
    try:
        with transaction.atomic():
            return _create(run, stf)
    except IntegrityError as error:
        if not isinstance(error.__cause__, UniqueViolation):
            raise
    known = StfFile.objects.select_for_update().filter(run=run, sequence=stf.sequence).first()
    namesakes = StfFile.objects.filter(stf_filename=stf.stf_filename)
    if known is None or namesakes.exclude(pk=known.pk).exists():
        raise DomainError(f"run {run_number}: the name {stf.stf_filename!r} belongs to another STF")
    if known.registration == Registration.FAILED:
        return _announce_again(known, stf)
    differing = [name for name in _IDENTITY if getattr(known, name) != getattr(stf, name)]
    if differing:
        said = ", ".join(f"{n}={getattr(stf, n)!r} (known: {getattr(known, n)!r})" for n in differing)
        raise DomainError(f"run {run_number} sequence {stf.sequence} is taken by another file: {said}")
    return known


def _create(run: Run, stf: GeneratedStf) -> StfFile:
    created = StfFile.objects.create(run=run, **asdict(stf))
    if journal.current_cause().heard:  # our own DAQ has said it in the journal itself
        journal.record(
            journal.Change("stf_gen", run=run, subject=created.stf_filename, payload=stf_fields(created))
        )
    return created


def _announce_again(known: StfFile, stf: GeneratedStf) -> StfFile:
    for field in fields(stf):
        setattr(known, field.name, getattr(stf, field.name))
    known.registration, known.registration_reason = Registration.GENERATED, ""
    known.save()
    journal.record(journal.Change("stf_retried", run=known.run, subject=known.stf_filename))
    return known
