"""What agents and workers of the fast path say over REST; the fields are those of the existing system where it has them."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from apps.runs.api.fields import ClockTime, RunNumber
from apps.runs.api.requests import ExactSerializer

from ..choices import SliceState, TfFileStatus, WorkerStatus


class TfFileSaidSerializer(serializers.Serializer[Any]):
    """A TF file as the existing fast monitoring agent registers it. `stf_file` is the name of its STF."""

    stf_file = serializers.CharField(max_length=250)
    tf_filename = serializers.RegexField(r"^[A-Za-z0-9._-]+$", max_length=250)
    tf_first = serializers.IntegerField(min_value=0, max_value=2**63 - 1)
    tf_last = serializers.IntegerField(min_value=0, max_value=2**63 - 1)
    tf_count = serializers.IntegerField(min_value=0, max_value=2**31 - 1, required=False)
    file_size_bytes = serializers.IntegerField(min_value=0, max_value=2**63 - 1, default=0, allow_null=True)
    file_url = serializers.CharField(max_length=1000, default="", allow_blank=True)
    checksum = serializers.RegexField(r"^([0-9a-f]{8})?$", default="", allow_blank=True)
    status = serializers.ChoiceField(choices=[TfFileStatus.REGISTERED.value], required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """A range is in order, and holds as many time frames as are counted."""
        length = attrs["tf_last"] - attrs["tf_first"] + 1
        if length < 1:
            raise serializers.ValidationError({"tf_last": "it comes before tf_first"})
        if attrs.get("tf_count", 0) > length:
            raise serializers.ValidationError({"tf_count": f"there are {length} from tf_first to tf_last"})
        return attrs


class TfFileChangeSerializer(ExactSerializer):
    """What becomes of a TF file: it is removed."""

    status = serializers.ChoiceField(choices=TfFileStatus.choices)


class SliceSaidSerializer(serializers.Serializer[Any]):
    """A slice as the existing fast processing agent makes it; the TF file by its name, under either field."""

    fastmon_file = serializers.CharField(max_length=250, required=False)
    tf_filename = serializers.CharField(max_length=250, required=False)
    slice_id = serializers.IntegerField(min_value=0, max_value=65_535)
    tf_first = serializers.IntegerField(min_value=0, max_value=2**63 - 1)
    tf_last = serializers.IntegerField(min_value=0, max_value=2**63 - 1)
    status = serializers.ChoiceField(choices=[SliceState.QUEUED.value], required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """The file is named, and the range is in order."""
        if "fastmon_file" not in attrs and "tf_filename" not in attrs:
            raise serializers.ValidationError({"fastmon_file": "say of which TF file it is"})
        if attrs["tf_last"] < attrs["tf_first"]:
            raise serializers.ValidationError({"tf_last": "it comes before tf_first"})
        return attrs


# What the existing agents call the states of slices.
_SLICE_WORDS = {"completed": SliceState.DONE, "processed": SliceState.DONE}
_SLICE_STATES = {state.value: state for state in (SliceState.QUEUED, SliceState.DONE, SliceState.FAILED)}


class SliceChangeSerializer(serializers.Serializer[Any]):
    """What became of a slice, in the words of the existing fast processing agent; `metadata` is kept as its result."""

    status = serializers.ChoiceField(choices=[*_SLICE_STATES, *_SLICE_WORDS])
    assigned_worker = serializers.CharField(max_length=100, default="", allow_blank=True)
    metadata = serializers.DictField(default=None, allow_null=True)

    def validate_status(self, word: str) -> SliceState:
        """The state that the word means."""
        return _SLICE_WORDS.get(word) or _SLICE_STATES[word]


class ClaimSerializer(ExactSerializer):
    """Who asks for slices, for how many, and of which run if not of all."""

    worker_id = serializers.CharField(max_length=100)
    limit = serializers.IntegerField(min_value=1, max_value=1000, default=1)
    run_number = RunNumber(required=False)


class ResultSerializer(ExactSerializer):
    """A worker's word on a slice. `attempt` counts its tries from 1, and is `retries` + 1 of the slice as it was claimed."""

    worker_id = serializers.CharField(max_length=100)
    status = serializers.ChoiceField(choices=[SliceState.DONE.value, SliceState.FAILED.value])
    attempt = serializers.IntegerField(min_value=1, max_value=1000, required=False)
    processing_seconds = serializers.FloatField(min_value=0, required=False)
    result = serializers.DictField(default=dict)
    error = serializers.CharField(default="", allow_blank=True)


class WorkerSaidSerializer(ExactSerializer):
    """A heartbeat of a worker; `req_id` and `attempt` name the slice in hand, whose lease is renewed."""

    worker_id = serializers.CharField(max_length=100)
    status = serializers.ChoiceField(
        choices=[state for state in WorkerStatus.values if state != WorkerStatus.LOST],
        default=WorkerStatus.READY,
    )
    location = serializers.CharField(max_length=250, default="", allow_blank=True)
    pid = serializers.IntegerField(min_value=0, max_value=2**31 - 1, default=None, allow_null=True)
    panda_id = serializers.IntegerField(min_value=0, max_value=2**63 - 1, default=None, allow_null=True)
    req_id = serializers.UUIDField(default=None, allow_null=True)
    attempt = serializers.IntegerField(min_value=1, max_value=1000, default=None, allow_null=True)
    slices_completed = serializers.IntegerField(min_value=0, max_value=2**31 - 1, default=0)
    slices_failed = serializers.IntegerField(min_value=0, max_value=2**31 - 1, default=0)
    started_at = ClockTime(default=None, allow_null=True)
    reason = serializers.CharField(default="", allow_blank=True)
    namespace = serializers.CharField(
        max_length=100, default="", allow_blank=True, help_text="Of a new one; that of its slice if left out"
    )
