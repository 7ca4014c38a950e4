"""TF files and slices that agents of another system make, as they tell of them over REST."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.runs import journal
from apps.runs.errors import FieldRefused
from apps.runs.inserting import insert_all, insert_if_new
from apps.runs.services import said_over_rest

from ..choices import SampleState, SliceState, TfFileStatus
from ..fast_parameters import is_sampled_here
from ..models import FastMonFile, FastMonSample, FastRun, StfFile, TFSlice
from .fast_run import ensure_fast_run
from .samples import TfFileMade, mark_removed, tf_file_change
from .slice_counts import counts_of

# What makes two TF files of one name the same.
_IDENTITY = ("tf_first", "tf_last", "tf_count", "file_size_bytes")


@dataclass(frozen=True, kw_only=True)
class SaidSlice:
    """A slice of a TF file, TF numbers inclusive; `slice_id` counts from 0."""

    tf_filename: str
    slice_id: int
    tf_first: int
    tf_last: int


@transaction.atomic
def add_tf_file(stf_filename: str, made: TfFileMade, *, by: str) -> tuple[FastMonFile, bool]:
    """A TF file of an STF, known from now on; with its first one the STF is sampled.

    Returns:
        The TF file, and whether it was not known before.

    Raises:
        FieldRefused: there is no such STF, this testbed samples its run itself, the name belongs to another TF file, or its
            time frames are those of another one.
    """
    stf = StfFile.objects.select_related("run__execution").filter(stf_filename=stf_filename).first()
    if stf is None:
        raise FieldRefused("stf_file", f"there is no STF {stf_filename}: register it first (POST stf-files/)")
    if known := FastMonFile.objects.select_related("sample").filter(tf_filename=made.tf_filename).first():
        return _same(known, stf, made), False
    if is_sampled_here(stf.run):
        raise FieldRefused("stf_file", f"this testbed samples the STFs of run {stf.run} itself")
    sample = _sample(stf)
    _check_range(stf, sample, made)
    sample.tf_count += made.tf_count
    sample.corrupt_tfs = [*sample.corrupt_tfs, *made.corrupt_tfs]
    sample.save(update_fields=["tf_count", "corrupt_tfs"])
    file = FastMonFile.objects.create(sample=sample, visiting=True, **vars(made))
    with said_over_rest(by, "tf_file_registered"):
        journal.record(tf_file_change(file))
    return file, True


@transaction.atomic
def change_tf_file(file: FastMonFile, status: TfFileStatus, *, by: str) -> None:
    """The agent that made a TF file has removed it; it does not come back.

    Raises:
        FieldRefused: it is gone, or is this testbed's.
    """
    if status == file.status:
        return
    if not file.visiting or status != TfFileStatus.REMOVED:
        owner = "its agent" if file.visiting else "this testbed"
        raise FieldRefused("status", f"{file} is {file.status}, which only {owner} changes, to removed")
    with said_over_rest(by):
        mark_removed([file.pk])


def add_slices(said: Sequence[SaidSlice], *, by: str) -> tuple[list[TFSlice], bool]:
    """Slices of TF files that another system's agent has made, queued from now on: all or none. Those of a file follow each
    other without gap; known ones are left as they are.

    Returns:
        The slices in the order in which they were said, and whether any of them was not known before.

    Raises:
        FieldRefused: there is no such TF file, this testbed cuts it itself, a known slice has another range, or they leave
            a gap, overlap, or go beyond the file.
    """
    files = _files(said)
    with transaction.atomic():
        counts = counts_of(file.sample.run_id for file in files.values())
        known = {
            (one.fastmon_file_id, one.slice_id): one
            for one in TFSlice.objects.filter(fastmon_file__in=files.values())
        }
        fresh = {}
        for one in said:
            key = (files[one.tf_filename].pk, one.slice_id)
            if key in known:
                _check_same_slice(known[key], one)
            else:
                fresh[key] = _slice(files[one.tf_filename], one)
        _insert(list(fresh.values()))
        by_run: dict[int, int] = {}
        for row in fresh.values():
            by_run[row.run_id] = by_run.get(row.run_id, 0) + 1
        for run_id, count in by_run.items():
            counts.created(run_id, count)
            counts.runs[run_id].drained_at = None
            counts.say(run_id, "slices_created", {"count": count})
        with said_over_rest(by):
            counts.settle()
    rows = known | fresh
    return [rows[files[one.tf_filename].pk, one.slice_id] for one in said], bool(fresh)


def _sample(stf: StfFile) -> FastMonSample:
    """The sample of the STF. The row of its run is locked: of two files of one STF, the second sees the first."""
    fast = FastRun.objects.select_for_update().get(pk=ensure_fast_run(stf.run).pk)
    fresh = FastMonSample(
        stf=stf,
        run=stf.run,
        sequence=stf.sequence,
        state=SampleState.SAMPLED,
        decided_at=timezone.now(),
    )
    if insert_if_new(fresh):
        fast.stf_samples_received += 1
        fast.visiting = True
        fast.save(update_fields=["stf_samples_received", "visiting"])
        return fresh
    return FastMonSample.objects.get(stf=stf)


def _check_range(stf: StfFile, sample: FastMonSample, made: TfFileMade) -> None:
    if stf.tf_first is not None and stf.tf_count is not None:
        end = stf.tf_first + stf.tf_count
        if not stf.tf_first <= made.tf_first <= made.tf_last < end:
            raise FieldRefused("tf_last", f"{stf} has the time frames {stf.tf_first} to {end - 1}")
    others = FastMonFile.objects.filter(sample=sample, tf_first__lte=made.tf_last, tf_last__gte=made.tf_first)
    if other := others.first():
        raise FieldRefused("tf_first", f"{other} has time frames {other.tf_first} to {other.tf_last} already")


def _same(known: FastMonFile, stf: StfFile, made: TfFileMade) -> FastMonFile:
    if known.sample.stf_id != stf.pk:
        raise FieldRefused("tf_filename", f"{known} is a TF file of another STF")
    for name in _IDENTITY:
        before, now = getattr(known, name), getattr(made, name)
        if before != now:
            raise FieldRefused(name, f"{known} is known with {before}, not {now}")
    return known


def _files(said: Sequence[SaidSlice]) -> dict[str, FastMonFile]:
    names = {one.tf_filename for one in said}
    found = FastMonFile.objects.filter(tf_filename__in=names).select_related("sample__stf")
    files = {file.tf_filename: file for file in found}
    if missing := sorted(names - files.keys()):
        raise FieldRefused("fastmon_file", f"there is no TF file {missing[0]}: POST fastmon-files/ first")
    if ours := sorted(name for name, file in files.items() if not file.visiting):
        raise FieldRefused("fastmon_file", f"this testbed cuts {ours[0]} itself")
    return files


def _slice(file: FastMonFile, one: SaidSlice) -> TFSlice:
    return TFSlice(
        fastmon_file=file,
        run_id=file.sample.run_id,
        slice_id=one.slice_id,
        tf_first=one.tf_first,
        tf_last=one.tf_last,
        tf_count=one.tf_last - one.tf_first + 1,
        status=SliceState.QUEUED,
    )


def _insert(fresh: list[TFSlice]) -> None:
    try:
        with transaction.atomic():
            insert_all(fresh)
    except IntegrityError as error:
        raise FieldRefused("tf_first", str(error).splitlines()[0]) from error


def _check_same_slice(known: TFSlice, one: SaidSlice) -> None:
    for name in ("tf_first", "tf_last"):
        before, now = getattr(known, name), getattr(one, name)
        if before != now:
            raise FieldRefused(name, f"{known} is known with {before}, not {now}")
