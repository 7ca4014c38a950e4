"""Lists of what the fast path has: samples, TF files, slices and workers, with what a row of them shows."""

from __future__ import annotations

from django.db.models import QuerySet

from apps.runs.related import with_related

from ..models import FastMonFile, FastMonSample, TFSlice, Worker, WorkerTask


def sample_list() -> QuerySet[FastMonSample]:
    """All samples with STF and run, newest first."""
    return with_related(FastMonSample.objects.order_by("-pk"), stf=["stf_filename"], run=["run_number"])


def tf_file_list() -> QuerySet[FastMonFile]:
    """All TF files with their STF and run, newest first."""
    return with_related(
        FastMonFile.objects.order_by("-pk"),
        sample=[],
        sample__stf=["stf_filename"],
        sample__run=["run_number"],
    )


def slice_list() -> QuerySet[TFSlice]:
    """All slices with their TF file, STF and run, newest first."""
    return with_related(
        TFSlice.objects.order_by("-pk"),
        run=["run_number"],
        fastmon_file=["tf_filename", "file_url", "checksum"],
        fastmon_file__sample=[],
        fastmon_file__sample__stf=["stf_filename"],
    )


def worker_task_list() -> QuerySet[WorkerTask]:
    """All tasks whose jobs are workers, newest first."""
    return with_related(WorkerTask.objects.order_by("-pk"), run=["run_number"])


def worker_list() -> QuerySet[Worker]:
    """All workers with the slice in hand, those that started last first."""
    workers = Worker.objects.select_related("current_slice__fastmon_file", "namespace")
    return workers.order_by("-started_at", "-pk")
