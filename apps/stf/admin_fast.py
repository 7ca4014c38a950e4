"""The fast path in the admin: to look at."""

from __future__ import annotations

from django.contrib import admin

from apps.runs.admin import ReadOnlyAdmin

from .models import FastMonFile, FastMonSample, FastRun, HistogramWindow, TFSlice, Worker, WorkerTask


@admin.register(FastRun)
class FastRunAdmin(ReadOnlyAdmin):
    list_display = [
        "run",
        "backlog_policy",
        "wanted_worker_count",
        "target_worker_count",
        "stf_samples_received",
        "stf_samples_skipped",
        "slices_created",
        "slices_queued",
        "slices_claimed",
        "slices_done",
        "slices_failed",
        "slices_skipped",
        "drained_at",
    ]
    list_filter = ["backlog_policy"]
    list_select_related = ["run"]
    search_fields = ["=run__run_number"]
    ordering = ["-pk"]


@admin.register(FastMonSample)
class FastMonSampleAdmin(ReadOnlyAdmin):
    list_display = [
        "stf",
        "state",
        "reason",
        "tf_count",
        "corrupt_tfs",
        "hits",
        "bytes_read",
        "slicing",
        "decided_at",
    ]
    list_filter = ["state", "slicing"]
    list_select_related = ["stf"]
    search_fields = ["=stf__stf_filename", "=run__run_number"]
    ordering = ["-pk"]


@admin.register(FastMonFile)
class FastMonFileAdmin(ReadOnlyAdmin):
    list_display = [
        "tf_filename",
        "tf_first",
        "tf_last",
        "tf_count",
        "file_size_bytes",
        "status",
        "created_at",
    ]
    list_filter = ["status"]
    search_fields = ["=tf_filename", "=tf_file_id", "=sample__run__run_number"]
    ordering = ["-pk"]


@admin.register(HistogramWindow)
class HistogramWindowAdmin(ReadOnlyAdmin):
    list_display = ["run", "begin_time", "seconds", "stf_count", "tf_count", "hits", "updated_at"]
    exclude = ["contents"]
    list_select_related = ["run"]
    search_fields = ["=run__run_number"]
    ordering = ["-pk"]


@admin.register(TFSlice)
class TFSliceAdmin(ReadOnlyAdmin):
    list_display = [
        "fastmon_file",
        "slice_id",
        "tf_first",
        "tf_last",
        "status",
        "retries",
        "assigned_worker",
        "reason",
        "completed_at",
    ]
    list_filter = ["status"]
    list_select_related = ["fastmon_file"]
    search_fields = ["=fastmon_file__tf_filename", "=req_id", "=assigned_worker", "=run__run_number"]
    ordering = ["-pk"]


@admin.register(Worker)
class WorkerAdmin(ReadOnlyAdmin):
    list_display = [
        "worker_id",
        "location",
        "status",
        "current_slice",
        "slices_completed",
        "slices_failed",
        "last_heartbeat",
        "end_reason",
    ]
    list_filter = ["status"]
    list_select_related = ["current_slice__fastmon_file"]
    search_fields = ["=worker_id", "location", "=panda_id"]


@admin.register(WorkerTask)
class WorkerTaskAdmin(ReadOnlyAdmin):
    list_display = ["task_name", "run", "site", "jobs", "open_jobs", "jedi_task_id", "ended_at", "reason"]
    list_filter = ["site"]
    list_select_related = ["run"]
    search_fields = ["=run__run_number", "=jedi_task_id", "task_name"]
    ordering = ["-pk"]
