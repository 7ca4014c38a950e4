"""STFs that an agent of the existing system registers over REST: as if they had been announced on the bus."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from django.db import IntegrityError, transaction
from uuid_utils.compat import uuid7

from apps.runs.errors import FieldRefused
from apps.runs.journal import Cause, Heard
from apps.runs.models import Run
from apps.stf.choices import Registration
from apps.stf.models import StfFile
from apps.stf.services import keep_remarks

from ..bus.legacy import modernised
from ..bus.parse import parse
from ..bus.schemas import StfGen
from ..data.handlers import stfs_were_generated


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


def take_stfs(said: Sequence[SaidStf], *, by: str) -> set[str]:
    """Record STFs, all or none; saying the same again changes nothing.

    Returns:
        The names of those that were not known before.

    Raises:
        MessageError: something that is said has the wrong form.
        FieldRefused: there is no such run, or the STF is known as another.
        DomainError: its file is not in the exit buffer, or its run takes no more STFs.
    """
    _check_runs(said)
    try:
        return _take(said, by)
    except IntegrityError:
        # Announced elsewhere at the same moment: this time it is known.
        return _take(said, by)


@transaction.atomic
def _take(said: Sequence[SaidStf], by: str) -> set[str]:
    names = {one.name for one in said}
    known = {
        stf.stf_filename: stf for stf in StfFile.objects.select_related("run").filter(stf_filename__in=names)
    }
    fresh = {}
    for one in said:
        stf = known.get(one.name)
        if stf is not None and stf.registration != Registration.FAILED:
            _check_same(stf, one)
        else:
            fresh[one.name] = one
    if not fresh:
        return set()
    causes = [Cause(by, heard=Heard("stf_gen", uuid7(), by)) for _ in fresh]
    stfs_were_generated([_message(one, by) for one in fresh.values()], causes)
    new = fresh.keys() - known.keys()
    keys = StfFile.objects.filter(stf_filename__in=new).values_list("stf_filename", "pk")
    keep_remarks({pk: fresh[name].notes for name, pk in keys}, by=by)
    return set(new)


def _message(one: SaidStf, by: str) -> StfGen:
    body = {"msg_type": "stf_gen", "run_id": str(one.run_number), "sender": by, **one.fields}
    return cast("StfGen", parse(body))


def _check_runs(said: Sequence[SaidStf]) -> None:
    """A run that is not there is an error of the field, not of the address: at 404 the existing agents ask for minutes."""
    numbers = {one.run_number for one in said}
    known = set(Run.objects.filter(run_number__in=numbers).values_list("run_number", flat=True))
    if missing := sorted(numbers - known):
        raise FieldRefused("run", f"there is no run {missing[0]}: announce it first (POST runs/)")


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
