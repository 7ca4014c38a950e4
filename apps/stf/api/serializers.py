"""STFs, replicas and datasets as REST shows them."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from apps.runs.api.fields import RunNumber
from apps.runs.api.showing import RowSerializer
from apps.runs.api.taking import SaidSerializer

from ..choices import FileStatus
from ..models import Dataset, Replica, StfFile, StfProcessing
from ..selectors.file_status import file_status


class CopySerializer(RowSerializer[Replica]):
    """A replica inside its STF."""

    class Meta:
        model = Replica
        fields = ["rse", "state", "reason", "attempts", "retry_at", "requested_at", "verified_at"]


class ReplicaSerializer(CopySerializer):
    run_number = serializers.IntegerField(source="stf.run.run_number")
    sequence = serializers.IntegerField(source="stf.sequence")
    stf_filename = serializers.CharField(source="stf.stf_filename")

    class Meta(CopySerializer.Meta):
        fields = ["run_number", "sequence", "stf_filename", *CopySerializer.Meta.fields]


class PlaceSerializer(RowSerializer[StfProcessing]):
    """The processing at a site inside its STF."""

    class Meta:
        model = StfProcessing
        fields = ["site", "state", "reason", "attempts", "done_at"]


class StfFileSerializer(RowSerializer[StfFile]):
    """`file_id` is the file name, `run` the run number: what the existing agents take for ids. `status` is that system's one
    word for all facets, `metadata` what its agents have noted."""

    run_number = serializers.IntegerField(source="run.run_number")
    file_id = serializers.CharField(source="stf_filename")
    run = serializers.IntegerField(source="run.run_number")
    file_size_bytes = serializers.IntegerField(source="size_bytes")
    machine_state = serializers.CharField(source="daq_state")
    created_at = serializers.DateTimeField(source="generated_at")
    status = serializers.SerializerMethodField()
    metadata = serializers.SerializerMethodField()
    replicas = CopySerializer(many=True, source="copies")
    processings = PlaceSerializer(many=True, source="site_processings")

    class Meta:
        model = StfFile
        fields = [
            "run_number",
            "sequence",
            "stf_filename",
            "file_url",
            "size_bytes",
            "checksum",
            "tf_first",
            "tf_count",
            "daq_state",
            "daq_substate",
            "begin_time",
            "end_time",
            "generated_at",
            "registration",
            "registration_reason",
            "registered_at",
            "buffer",
            "releasable_at",
            "released_at",
            "replicas",
            "processings",
            "file_id",
            "run",
            "file_size_bytes",
            "machine_state",
            "created_at",
            "status",
            "metadata",
        ]

    def get_status(self, stf: StfFile) -> str:
        return file_status(stf).value

    def get_metadata(self, stf: StfFile) -> dict[str, Any]:
        said = getattr(stf, "remark", None)
        return said.metadata if said else {}


class StfSaidSerializer(SaidSerializer):
    """An STF in the exit buffer, as the existing data agent registers it. What it does not say of the file is looked up
    there; the sequence is taken from `metadata`, or from the name of the file."""

    run = RunNumber(required=False)
    run_number = RunNumber(required=False)
    stf_filename = serializers.CharField(max_length=250)
    file_url = serializers.CharField(max_length=1000, required=False, allow_null=True)
    file_size_bytes = serializers.IntegerField(
        min_value=0, max_value=2**63 - 1, required=False, allow_null=True
    )
    checksum = serializers.CharField(max_length=64, required=False, allow_null=True, allow_blank=True)
    machine_state = serializers.CharField(max_length=64, required=False, allow_null=True)
    status = serializers.ChoiceField(choices=[FileStatus.REGISTERED.value], required=False)
    sequence = serializers.IntegerField(min_value=1, max_value=2**31 - 1, required=False, allow_null=True)
    tf_first = serializers.IntegerField(min_value=0, max_value=2**63 - 1, required=False, allow_null=True)
    tf_count = serializers.IntegerField(min_value=0, max_value=2**31 - 1, required=False, allow_null=True)
    metadata = serializers.DictField(required=False, allow_null=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """One of the two names of the run must be said."""
        if "run" not in attrs and "run_number" not in attrs:
            raise serializers.ValidationError({"run": "say of which run it is: its run_id or run_number"})
        return attrs


class StfTakenSerializer(serializers.Serializer[Any]):
    """What became of an STF of a list."""

    file_id = serializers.CharField()
    run = serializers.IntegerField()
    created = serializers.BooleanField()


class StfRemarkSerializer(serializers.Serializer[Any]):
    """What an agent says of an STF later on; `metadata` replaces what was noted before."""

    status = serializers.ChoiceField(choices=FileStatus.choices, required=False)
    metadata = serializers.DictField(required=False)


class DatasetSerializer(RowSerializer[Dataset]):
    run_number = serializers.IntegerField(source="run.run_number")
    did = serializers.CharField()

    class Meta:
        model = Dataset
        fields = ["run_number", "did", "is_open", "rules", "created_at", "closed_at"]
