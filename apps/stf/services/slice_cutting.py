"""Cutting samples into slices, and what becomes of samples and slices that are too many for the workers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise

from django.db import transaction
from django.utils import timezone

from apps.runs.inserting import insert_all, update_all

from ..choices import BacklogPolicy, SliceState, Slicing
from ..fast_parameters import fastproc_parameters
from ..models import FastMonFile, FastMonSample, FastRun, TFSlice
from .slice_counts import Counts, counts_of

# Some thousand slices.
SAMPLES_AT_ONCE = 200


@dataclass
class _Cut:
    """What becomes of some samples of one run."""

    slices: list[TFSlice] = field(default_factory=list)
    cut: list[FastMonSample] = field(default_factory=list)
    skipped: dict[str, list[FastMonSample]] = field(default_factory=dict)

    def skip(self, sample: FastMonSample, reason: str) -> None:
        self.skipped.setdefault(reason, []).append(sample)


@transaction.atomic
def cut_samples(limit: int = SAMPLES_AT_ONCE) -> int:
    """Cut the samples that wait for it, oldest first; with the policy `sample_down`, some are skipped with the reason.

    Returns:
        How many samples were decided.
    """
    waiting = FastMonSample.objects.filter(slicing=Slicing.WAITING).order_by("pk")
    found = dict(waiting.values_list("pk", "run_id")[:limit])
    if not found:
        return 0
    counts = counts_of(found.values())
    samples = waiting.filter(pk__in=found).prefetch_related("files")
    in_runs = sorted(samples, key=lambda sample: (sample.run_id, sample.pk))
    cuts = {
        run_id: _cut(counts.runs[run_id], group)
        for run_id, group in groupby(in_runs, lambda sample: sample.run_id)
    }
    insert_all([one for cut in cuts.values() for one in cut.slices])
    for run_id, cut in cuts.items():
        _write(counts, run_id, cut)
    counts.settle()
    return len(in_runs)


def shed_backlogs() -> int:
    """With the policy `newest_first`, skip the oldest queued slices beyond the limit.

    Returns:
        How many that were.
    """
    newest_first = FastRun.objects.filter(drained_at__isnull=True, backlog_policy=BacklogPolicy.NEWEST_FIRST)
    return sum(
        _shed(fast)
        for fast in newest_first.select_related("run__execution")
        if fast.slices_queued > _limit(fast)
    )


def shared_out(total: int, room: Sequence[int]) -> list[int]:
    """`total` as evenly as possible, the first getting more; to each no more than it has room for."""
    shares = [0] * len(room)
    for _ in range(min(total, sum(room))):
        shares[min((at for at, most in enumerate(room) if shares[at] < most), key=shares.__getitem__)] += 1
    return shares


def is_kept(sequence: int, open_slices: int, limit: int) -> bool:
    """Whether `sample_down` has this STF's sample cut: beyond the limit every second, fourth, ..., and from twice the limit
    on none."""
    over = open_slices - limit
    if over <= 0:
        return True
    return over < limit and sequence % 2 ** (1 + 4 * over // limit) == 0


def _cut(fast: FastRun, samples: Iterable[FastMonSample]) -> _Cut:
    parameters = fastproc_parameters(fast.run)
    limit = parameters.backlog_limit
    sampling_down = fast.backlog_policy == BacklogPolicy.SAMPLE_DOWN
    open_slices = fast.slices_queued + fast.slices_claimed
    cut = _Cut()
    for sample in samples:
        if sampling_down and not is_kept(sample.sequence, open_slices + len(cut.slices), limit):
            cut.skip(sample, f"more than {limit} slices wait for workers (policy sample_down)")
        elif slices := _slices(sample, parameters.slices_per_sample):
            cut.slices += slices
            cut.cut.append(sample)
        else:
            cut.skip(sample, "no time frame of it is good")
    return cut


def _slices(sample: FastMonSample, wanted: int) -> list[TFSlice]:
    files = sorted(sample.files.all(), key=lambda file: file.tf_first)
    lengths = [file.tf_last - file.tf_first + 1 for file in files]
    now = timezone.now()
    # One for each file, whatever is wanted: a file that is cut is covered.
    more = shared_out(max(0, wanted - len(files)), [length - 1 for length in lengths])
    return [
        TFSlice(
            fastmon_file=file,
            run_id=sample.run_id,
            slice_id=slice_id,
            tf_first=first,
            tf_last=after - 1,
            tf_count=after - first,
            created_at=now,
        )
        for file, length, count in zip(files, lengths, more, strict=True)
        for slice_id, (first, after) in enumerate(_ranges(file, length, count + 1))
    ]


def _ranges(file: FastMonFile, length: int, count: int) -> Iterable[tuple[int, int]]:
    """First TF, and the one after the last, of each of `count` parts of a file, as even as can be."""
    return pairwise(file.tf_first + length * nth // count for nth in range(count + 1))


def _write(counts: Counts, run_id: int, cut: _Cut) -> None:
    fast = counts.runs[run_id]
    if cut.cut:
        FastMonSample.objects.filter(pk__in=[sample.pk for sample in cut.cut]).update(slicing=Slicing.CUT)
        counts.created(run_id, len(cut.slices))
        fast.drained_at = None  # an STF that comes after the end has its slices too
        counts.say(run_id, "slices_created", {"count": len(cut.slices), **_sequences(cut.cut)})
    for reason, samples in cut.skipped.items():
        FastMonSample.objects.filter(pk__in=[sample.pk for sample in samples]).update(
            slicing=Slicing.SKIPPED, slicing_reason=reason
        )
        counts.say(run_id, "slicing_skipped", {"reason": reason, **_sequences(samples)})


def _sequences(samples: Sequence[FastMonSample]) -> dict[str, object]:
    return {"samples": len(samples), "sequences": [sample.sequence for sample in samples]}


@transaction.atomic
def _shed(fast: FastRun) -> int:
    counts = counts_of([fast.run_id])
    fast = counts.runs[fast.run_id]
    limit = _limit(fast)
    over = fast.slices_queued - limit
    if fast.backlog_policy != BacklogPolicy.NEWEST_FIRST or over <= 0:
        return 0
    queued = TFSlice.objects.filter(run=fast.run_id, status=SliceState.QUEUED).order_by("pk")
    oldest = list(queued[:over])
    reason = f"newer ones are worth more: {limit} slices may wait (policy newest_first)"
    for one in oldest:
        counts.move(one, SliceState.SKIPPED, reason=reason)
    update_all(oldest, ["status", "lease_until", "reason", "completed_at"])
    counts.say(fast.run_id, "slices_skipped", {"count": len(oldest), "reason": reason})
    counts.settle()
    return len(oldest)


def _limit(fast: FastRun) -> int:
    return fastproc_parameters(fast.run).backlog_limit
