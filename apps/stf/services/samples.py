"""What becomes of the sample of each STF: announced, then skipped or decided, once. Its TF files are removed in the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from apps.runs import journal
from apps.runs.errors import NotFound
from apps.runs.inserting import insert_all, update_all
from apps.runs.models import Run

from ..choices import SampleState, Slicing, TfFileStatus
from ..fast_parameters import fastmon_parameters, fastproc_parameters
from ..histograms import Histograms
from ..models import FastMonFile, FastMonSample, FastRun, StfFile
from .fast_run import ensure_fast_run
from .histogram_windows import add_to_windows


@dataclass(frozen=True, kw_only=True)
class TfFileMade:
    """A TF file as it was written: size in bytes, adler32 as 8 hexadecimal digits, TF numbers inclusive."""

    tf_filename: str
    file_url: str
    file_size_bytes: int
    checksum: str
    tf_first: int
    tf_last: int
    tf_count: int
    corrupt_tfs: list[int] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class SampleRead:
    """What was read of one STF, or why nothing was (`failed`). `begin` is when its first TF began."""

    sample_id: int
    failed: str = ""
    files: Sequence[TfFileMade] = ()
    tf_count: int = 0
    corrupt_tfs: Sequence[int] = ()
    begin: datetime | None = None
    histograms: Histograms | None = None
    hits: int = 0
    bytes_read: int = 0
    requests: int = 0
    read_seconds: float = 0.0


@transaction.atomic
def announce_samples(stf_filenames: Iterable[str]) -> int:
    """These STFs are there to be sampled, as far as their runs want any sampling; a repetition changes nothing.

    Returns:
        How many samples wait now that did not exist before.

    Raises:
        NotFound: there is no such STF.
    """
    names = set(stf_filenames)
    stfs = {
        stf.stf_filename: stf
        for stf in StfFile.objects.filter(stf_filename__in=names).select_related("run__execution")
    }
    if missing := sorted(names - stfs.keys()):
        raise NotFound(f"stf_ready: there is no STF {', '.join(missing)}")
    runs = {stf.run_id: stf.run for stf in stfs.values()}
    sampled = {pk for pk, run in runs.items() if fastmon_parameters(run).stf_sampling_rate > 0}
    for pk in sorted(sampled):
        ensure_fast_run(runs[pk])
    # Locked: of two that announce the same STF, the second finds the first one's sample.
    fast = list(FastRun.objects.select_for_update().filter(run__in=sampled).order_by("pk"))
    known = set(FastMonSample.objects.filter(stf__in=list(stfs.values())).values_list("stf_id", flat=True))
    fresh = [
        FastMonSample(stf=stf, run=stf.run, sequence=stf.sequence)
        for stf in sorted(stfs.values(), key=lambda stf: (stf.run_id, stf.sequence))
        if stf.run_id in sampled and stf.pk not in known
    ]
    insert_all(fresh)
    received = Counter(sample.run_id for sample in fresh)
    for one in fast:
        if count := received[one.run_id]:
            one.stf_samples_received += count
            one.save(update_fields=["stf_samples_received"])
    return len(fresh)


@transaction.atomic
def skip_samples(run: Run, sample_ids: Sequence[int], *, reason: str) -> int:
    """These samples of a run will not be read; those that are decided already stay as they are.

    Returns:
        How many are skipped by this.
    """
    samples = _waiting(sample_ids)
    if not samples:
        return 0
    FastMonSample.objects.filter(pk__in=[sample.pk for sample in samples]).update(
        state=SampleState.SKIPPED, reason=reason, decided_at=timezone.now()
    )
    FastRun.objects.filter(run=run).update(stf_samples_skipped=F("stf_samples_skipped") + len(samples))
    journal.record(
        journal.Change(
            "samples_skipped",
            run=run,
            payload={
                "count": len(samples),
                "sequences": sorted(sample.sequence for sample in samples),
                "reason": reason,
            },
        )
    )
    return len(samples)


@transaction.atomic
def decide_samples(reads: Sequence[SampleRead]) -> list[FastMonSample]:
    """What was read becomes known: samples, TF files and histograms, all in one. A sample is decided once.

    Returns:
        The samples that this call has decided; what was decided before counts for nothing.
    """
    said = {read.sample_id: read for read in reads}
    samples = _waiting(list(said))
    if not samples:
        return []
    now = timezone.now()
    for sample in samples:
        _apply(sample, said[sample.pk], now)
    update_all(samples, _DECIDED)
    files = [
        FastMonFile(sample=sample, created_at=now, **asdict(made))
        for sample in samples
        for made in said[sample.pk].files
    ]
    insert_all(files)
    add_to_windows(
        (sample.run, read.begin, read.tf_count, read.histograms)
        for sample in samples
        if (read := said[sample.pk]).begin and read.histograms
    )
    journal.record_many(
        [_failure(sample) for sample in samples if sample.state == SampleState.FAILED]
        + [tf_file_change(file) for file in files]
    )
    return samples


@transaction.atomic
def mark_removed(file_ids: Sequence[int]) -> int:
    """These TF files are deleted.

    Returns:
        How many were not known to be before.
    """
    files = list(
        FastMonFile.objects.select_for_update(of=("self",))
        .select_related("sample__run")
        .filter(pk__in=file_ids, status=TfFileStatus.REGISTERED)
        .order_by("pk")
    )
    FastMonFile.objects.filter(pk__in=[file.pk for file in files]).update(
        status=TfFileStatus.REMOVED, removed_at=timezone.now()
    )
    by_run: dict[Run, list[FastMonFile]] = {}
    for file in files:
        by_run.setdefault(file.sample.run, []).append(file)
    journal.record_many(
        [
            journal.Change(
                "tf_files_removed",
                run=run,
                payload={"count": len(those), "size_bytes": sum(file.file_size_bytes for file in those)},
            )
            for run, those in by_run.items()
        ]
    )
    return len(files)


_DECIDED = [
    "state",
    "reason",
    "decided_at",
    "tf_count",
    "corrupt_tfs",
    "hits",
    "hits_by_detector",
    "bytes_read",
    "requests",
    "read_seconds",
    "slicing",
]


def _waiting(sample_ids: Sequence[int]) -> list[FastMonSample]:
    """Those that nobody has decided yet, locked until the transaction ends."""
    return list(
        FastMonSample.objects.select_for_update(of=("self",))
        .select_related("run__execution", "stf")
        .filter(pk__in=sample_ids, state=SampleState.WAITING)
        .order_by("pk")
    )


def _apply(sample: FastMonSample, read: SampleRead, now: datetime) -> None:
    sample.state = SampleState.FAILED if read.failed else SampleState.SAMPLED
    sample.reason, sample.decided_at = read.failed, now
    sample.tf_count, sample.corrupt_tfs = read.tf_count, list(read.corrupt_tfs)
    sample.hits = read.hits
    sample.hits_by_detector = read.histograms.entries.tolist() if read.histograms else []
    sample.bytes_read, sample.requests = read.bytes_read, read.requests
    sample.read_seconds = read.read_seconds
    if read.files and fastproc_parameters(sample.run).slices_per_sample > 0:
        sample.slicing = Slicing.WAITING


def _failure(sample: FastMonSample) -> journal.Change:
    return journal.Change(
        "sample_failed",
        run=sample.run,
        subject=sample.stf.stf_filename,
        payload={"sequence": sample.sequence, "reason": sample.reason},
    )


def tf_file_change(file: FastMonFile) -> journal.Change:
    """The entry, and message, that a TF file is there."""
    return journal.Change(
        "tf_file_registered",
        run=file.sample.run,
        subject=file.tf_filename,
        payload={
            "processed_by": journal.current_cause().actor,
            "tf_file_id": str(file.tf_file_id),
            "tf_filename": file.tf_filename,
            "tf_first": file.tf_first,
            "tf_last": file.tf_last,
            "tf_count": file.tf_count,
            "file_size_bytes": file.file_size_bytes,
            "stf_filename": file.sample.stf.stf_filename,
            "status": file.status,
            "sequence": file.sample.sequence,
            "file_url": file.file_url,
            "checksum": file.checksum,
            "corrupt_tfs": file.corrupt_tfs,
        },
    )
