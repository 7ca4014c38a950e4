"""Lists of what the fast path has: samples, TF files, slices and workers, with what a row of them shows."""

from __future__ import annotations

from django.db.models import QuerySet

from ..models import FastMonFile, FastMonSample, TFSlice, Worker, WorkerTask


def sample_list() -> QuerySet[FastMonSample]:
    """All samples with STF and run, newest first."""
    return FastMonSample.objects.select_related("stf", "run").order_by("-pk")


def tf_file_list() -> QuerySet[FastMonFile]:
    """All TF files with their STF and run, newest first."""
    return FastMonFile.objects.select_related("sample__stf", "sample__run").order_by("-pk")


def slice_list() -> QuerySet[TFSlice]:
    """All slices with their TF file, STF and run, newest first."""
    return TFSlice.objects.select_related("fastmon_file__sample__stf", "run").order_by("-pk")


def worker_task_list() -> QuerySet[WorkerTask]:
    """All tasks whose jobs are workers, newest first."""
    return WorkerTask.objects.select_related("run").order_by("-pk")


def worker_list() -> QuerySet[Worker]:
    """All workers with the slice in hand, those that started last first."""
    workers = Worker.objects.select_related("current_slice__fastmon_file", "namespace")
    return workers.order_by("-started_at", "-pk")
