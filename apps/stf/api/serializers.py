"""STFs, replicas and datasets as REST shows them."""

from __future__ import annotations

from rest_framework import serializers

from ..models import Dataset, Replica, StfFile, StfProcessing


class CopySerializer(serializers.ModelSerializer[Replica]):
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


class PlaceSerializer(serializers.ModelSerializer[StfProcessing]):
    """The processing at a site inside its STF."""

    class Meta:
        model = StfProcessing
        fields = ["site", "state", "reason", "attempts", "done_at"]


class StfFileSerializer(serializers.ModelSerializer[StfFile]):
    run_number = serializers.IntegerField(source="run.run_number")
    replicas = CopySerializer(many=True)
    processings = PlaceSerializer(many=True)

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
        ]


class DatasetSerializer(serializers.ModelSerializer[Dataset]):
    run_number = serializers.IntegerField(source="run.run_number")
    did = serializers.CharField()

    class Meta:
        model = Dataset
        fields = ["run_number", "did", "is_open", "rules", "created_at", "closed_at"]
