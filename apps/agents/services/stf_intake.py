"""STFs that an agent of the existing system registers over REST: as if they had been announced on the bus."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf
from typing import Any, cast

from django.db import IntegrityError, transaction
from uuid_utils.compat import uuid7

from apps.runs.errors import DomainError, FieldRefused, NotFound
from apps.runs.journal import Cause, Heard
from apps.stf.choices import Registration
from apps.stf.models import StfFile
from apps.stf.services import Announcement, keep_remarks, record_generated_many, record_if_all_new

from ..bus.legacy import modernised
from ..bus.parse import MessageError, parse
from ..bus.schemas import StfGen
from ..data.handlers import announcements

_QUICK_BYTES = 1_000_000
# What REST calls the fields of `stf_gen`.
_NAMES = {
    "filename": "stf_filename",
    "size_bytes": "file_size_bytes",
    "state": "machine_state",
    "substate": "metadata",
    "start": "metadata",
    "end": "metadata",
}


class NotUnderstood(ValueError):
    """What is said of an STF has the wrong form: `fields` says in which field, and what is wrong."""

    def __init__(self, name: str, fields: Mapping[str, str]) -> None:
        super().__init__(f"{name}: {', '.join(fields)}")
        self.name = name
        self.fields = {_NAMES.get(field, field): why for field, why in fields.items()}


@dataclass(frozen=True, kw_only=True)
class SaidStf:
    """What an agent says of an STF, in the fields of `stf_gen`; and its notes."""

    run_number: int
    fields: dict[str, Any]
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The file name, by which the STF is known."""
        return str(self.fields["filename"])


def take_stfs(said: Sequence[SaidStf], *, by: str) -> dict[str, StfFile]:
    """Record STFs, all or none; saying the same again changes nothing.

    Returns:
        Those that were not known before, by name, with run and remark.

    Raises:
        NotUnderstood: something that is said has the wrong form.
        FieldRefused: there is no such run, or it takes no more STFs, its file is not in the exit buffer, or the STF, its
            sequence or its name is known as another.
    """
    try:
        _check_named_once(said)
        # Most are new, and writing them down tells. Where that will not do, the reason may be that they are known.
        with suppress(DomainError):
            if _read_quickly(said) and (new := _take_new(said, by)):
                return new
        try:
            return _take(said, by)
        except IntegrityError:
            # Announced elsewhere at the same moment: this time it is known.
            return _take(said, by)
    except FieldRefused as error:
        raise FieldRefused(_NAMES.get(error.field, error.field), error.why) from error
    except NotFound as error:
        # An error of the field, not of the address: at 404 the existing agents ask for minutes.
        raise FieldRefused("run", f"{error}: announce it first (POST runs/)") from error


def _read_quickly(said: Sequence[SaidStf]) -> bool:
    """Whether their checksums are said, or made in less time than it takes to ask which of them are known."""
    return all("checksum" in one.fields or one.fields.get("size_bytes", inf) <= _QUICK_BYTES for one in said)


@transaction.atomic
def _take_new(said: Sequence[SaidStf], by: str) -> dict[str, StfFile]:
    """Those that are taken, if all are new; else none are."""
    recorded = record_if_all_new(_announcements(said, by))
    return _with_remarks(recorded, said, by)


@transaction.atomic
def _take(said: Sequence[SaidStf], by: str) -> dict[str, StfFile]:
    known = _known({one.name for one in said})
    fresh = {}
    for one in said:
        stf = known.get(one.name)
        if stf is not None and stf.registration != Registration.FAILED:
            _check_same(stf, one)
        else:
            fresh[one.name] = one
    if not fresh:
        return {}
    wanted = list(fresh.values())
    recorded = record_generated_many(_announcements(wanted, by))
    return _with_remarks([stf for stf in recorded if stf.stf_filename not in known], wanted, by)


def _with_remarks(new: Sequence[StfFile], said: Sequence[SaidStf], by: str) -> dict[str, StfFile]:
    """By name, STFs that have just been recorded; what was noted of them is kept."""
    notes = {one.name: one.notes for one in said}
    keep_remarks([(stf, notes[stf.stf_filename]) for stf in new], by=by)
    return {stf.stf_filename: stf for stf in new}


def _known(names: Collection[str]) -> dict[str, StfFile]:
    """Those of these STFs that are there."""
    found = StfFile.objects.select_related("run").filter(stf_filename__in=names)
    return {stf.stf_filename: stf for stf in found}


def _announcements(said: Sequence[SaidStf], by: str) -> list[Announcement]:
    causes = [Cause(by, heard=Heard("stf_gen", uuid7(), by)) for _ in said]
    return announcements([_message(one, by) for one in said], causes)


def _message(one: SaidStf, by: str) -> StfGen:
    body = {"msg_type": "stf_gen", "run_id": str(one.run_number), "sender": by, **one.fields}
    try:
        return cast("StfGen", parse(body))
    except MessageError as error:
        raise NotUnderstood(one.name, error.fields or {"filename": str(error)}) from error


def _check_named_once(said: Sequence[SaidStf]) -> None:
    """Named again, an STF must be the same."""
    by_name: dict[str, SaidStf] = {}
    for one in said:
        if by_name.setdefault(one.name, one) != one:
            raise FieldRefused("stf_filename", f"{one.name} is in the list more than once, and not the same")


def _check_same(known: StfFile, one: SaidStf) -> None:
    """The STF is known as it is said now, as far as it is said."""
    said = modernised({"msg_type": "stf_gen", **one.fields})
    has = {
        "run": (known.run.run_number, one.run_number),
        "sequence": (known.sequence, said.get("sequence")),
        "file_size_bytes": (known.size_bytes, said.get("size_bytes")),
        "checksum": (known.checksum, said.get("checksum")),
    }
    for name, (before, now) in has.items():
        if now is not None and now != before:
            raise FieldRefused(name, f"{known} is known with {before}, not {now}")
