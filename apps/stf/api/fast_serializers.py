"""The fast path as REST shows it: names of fields are those of the existing system where it has them."""

from __future__ import annotations

from rest_framework import serializers

from apps.runs.api.showing import RowSerializer

from ..models import FastMonFile, FastMonSample, TFSlice, Worker, WorkerTask


class FastMonSampleSerializer(RowSerializer[FastMonSample]):
    run_number = serializers.IntegerField(source="run.run_number")
    stf_filename = serializers.CharField(source="stf.stf_filename")

    class Meta:
        model = FastMonSample
        fields = [
            "id",
            "run_number",
            "sequence",
            "stf_filename",
            "state",
            "reason",
            "announced_at",
            "decided_at",
            "tf_count",
            "corrupt_tfs",
            "hits",
            "hits_by_detector",
            "bytes_read",
            "requests",
            "read_seconds",
            "slicing",
            "slicing_reason",
        ]


class FastMonFileSerializer(RowSerializer[FastMonFile]):
    """`stf_file` is the STF's file name."""

    run_number = serializers.IntegerField(source="sample.run.run_number")
    stf_file = serializers.CharField(source="sample.stf.stf_filename")

    class Meta:
        model = FastMonFile
        fields = [
            "tf_file_id",
            "run_number",
            "stf_file",
            "tf_filename",
            "file_url",
            "file_size_bytes",
            "checksum",
            "tf_first",
            "tf_last",
            "tf_count",
            "corrupt_tfs",
            "status",
            "created_at",
            "removed_at",
        ]


class TFSliceSerializer(RowSerializer[TFSlice]):
    """`fastmon_file` is the name of the TF file, `stf_filename` that of the STF."""

    run_number = serializers.IntegerField(source="run.run_number")
    fastmon_file = serializers.CharField(source="fastmon_file.tf_filename")
    stf_filename = serializers.CharField(source="fastmon_file.sample.stf.stf_filename")
    file_url = serializers.CharField(source="fastmon_file.file_url")
    checksum = serializers.CharField(source="fastmon_file.checksum")

    class Meta:
        model = TFSlice
        fields = [
            "id",
            "run_number",
            "fastmon_file",
            "stf_filename",
            "file_url",
            "checksum",
            "slice_id",
            "req_id",
            "tf_first",
            "tf_last",
            "tf_count",
            "status",
            "reason",
            "retries",
            "assigned_worker",
            "created_at",
            "assigned_at",
            "lease_until",
            "completed_at",
            "processing_seconds",
            "result",
        ]


class SliceSettledSerializer(TFSliceSerializer):
    """The slice, and why a worker's word on it changed nothing; empty when it counted."""

    ignored = serializers.CharField()

    class Meta(TFSliceSerializer.Meta):
        fields = [*TFSliceSerializer.Meta.fields, "ignored"]


class WorkerSerializer(RowSerializer[Worker]):
    """`current_slice_id` and `tf_filename` are null for a worker with nothing in hand."""

    tf_filename = serializers.CharField(source="current_slice.fastmon_file.tf_filename", allow_null=True)
    current_slice_id = serializers.IntegerField(source="current_slice.slice_id", allow_null=True)
    namespace = serializers.CharField(source="namespace.name", allow_null=True)

    class Meta:
        model = Worker
        fields = [
            "worker_id",
            "namespace",
            "location",
            "pid",
            "panda_id",
            "status",
            "current_slice_id",
            "tf_filename",
            "slices_completed",
            "slices_failed",
            "started_at",
            "last_heartbeat",
            "ended_at",
            "end_reason",
        ]


class WorkerTaskSerializer(RowSerializer[WorkerTask]):
    """`jedi_task_id` is null until PanDA has taken the task."""

    run_number = serializers.IntegerField(source="run.run_number")

    class Meta:
        model = WorkerTask
        fields = [
            "id",
            "run_number",
            "task_name",
            "site",
            "jobs",
            "open_jobs",
            "jedi_task_id",
            "reason",
            "created_at",
            "submitting_at",
            "submitted_at",
            "ended_at",
        ]
