"""What fast monitoring shows of a run, as the schema of the REST interface has it. It is made in
`swf_site/pages/fastmon_content.py`, once for the page and for REST."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from apps.agents.models import Incident
from apps.runs.api.requests import AskedSerializer
from apps.stf.choices import BacklogPolicy, SampleState, SliceState
from swf_site.pages.fastmon_content import GROUPS

# Numbers with five digits; null where there is none.
_NUMBER: dict[str, Any] = {"allow_null": True}


class FastmonAskedSerializer(AskedSerializer):
    """Whose histograms, and when."""

    group = serializers.CharField(
        required=False,
        allow_blank=True,
        help_text=f"Of these detectors: {', '.join(GROUPS)}; left out, of all",
    )
    window = serializers.CharField(
        required=False,
        allow_blank=True,
        help_text="When the window of time began, ISO 8601, or `newest`; left out, all of the run",
    )


class SampleReasonSerializer(serializers.Serializer[Any]):
    """Why an STF was not sampled."""

    sequence = serializers.IntegerField()
    state = serializers.ChoiceField(choices=SampleState.choices)
    reason = serializers.CharField()
    decided_at = serializers.DateTimeField()


class FastmonSummarySerializer(serializers.Serializer[Any]):
    """Samples by state, and what was read and found in them."""

    waiting = serializers.IntegerField(help_text="STFs")
    sampled = serializers.IntegerField(help_text="STFs")
    skipped = serializers.IntegerField(help_text="STFs")
    failed = serializers.IntegerField(help_text="STFs")
    tfs = serializers.IntegerField(help_text="TFs that were read")
    hits = serializers.IntegerField()
    files = serializers.IntegerField(help_text="TF files")
    corrupt_tfs = serializers.IntegerField()
    bytes_read = serializers.IntegerField()
    bytes_of_stfs = serializers.IntegerField(help_text="Bytes of the STFs that were sampled")
    requests = serializers.IntegerField(help_text="Requests for bytes of files")
    latency_p50 = serializers.FloatField(**_NUMBER, help_text="Seconds from the closed STF to its plots")
    latency_p95 = serializers.FloatField(**_NUMBER, help_text="Seconds")
    last_reasons = SampleReasonSerializer(many=True)


class QuantitySerializer(serializers.Serializer[Any]):
    """What histograms are of."""

    key = serializers.CharField()
    title = serializers.CharField()
    unit = serializers.CharField(allow_blank=True)


class HistogramSerializer(serializers.Serializer[Any]):
    """Bins of equal width from 0 to `upper`."""

    upper = serializers.FloatField(help_text="In the unit of the quantity")
    counts = serializers.ListField(child=serializers.IntegerField())


class MeansSerializer(serializers.Serializer[Any]):
    """The mean of each quantity, in its unit."""

    occupancy = serializers.FloatField(**_NUMBER)
    adc = serializers.FloatField(**_NUMBER)
    time = serializers.FloatField(**_NUMBER)


class HistogramsSerializer(serializers.Serializer[Any]):
    """The histogram of each quantity."""

    occupancy = HistogramSerializer()
    adc = HistogramSerializer()
    time = HistogramSerializer()


class StripSerializer(serializers.Serializer[Any]):
    """A value per window of time, at `times`."""

    hits_per_tf = serializers.ListField(child=serializers.FloatField(**_NUMBER))
    mean_adc = serializers.ListField(child=serializers.FloatField(**_NUMBER), help_text="ADC counts")


class DetectorSerializer(serializers.Serializer[Any]):
    """One detector: its histograms by quantity, its means, and how they went in time."""

    name = serializers.CharField()
    number = serializers.IntegerField()
    group = serializers.ChoiceField(choices=GROUPS)
    hits = serializers.IntegerField()
    hits_per_tf = serializers.FloatField(**_NUMBER)
    means = MeansSerializer()
    histograms = HistogramsSerializer()
    strip = StripSerializer()


class SampleLatencySerializer(serializers.Serializer[Any]):
    """Of the newest samples, in three lists: sequence, when the STF was closed (Unix time), seconds until its plots."""

    sequences = serializers.ListField(child=serializers.IntegerField())
    times = serializers.ListField(child=serializers.FloatField())
    seconds = serializers.ListField(child=serializers.FloatField())


class SliceReasonSerializer(serializers.Serializer[Any]):
    """Why slices were not processed."""

    status = serializers.ChoiceField(choices=SliceState.choices)
    reason = serializers.CharField()
    count = serializers.IntegerField()


class NotCutSerializer(serializers.Serializer[Any]):
    """Why samples were not cut into slices."""

    reason = serializers.CharField()
    count = serializers.IntegerField()


class FastmonWorkerSerializer(serializers.Serializer[Any]):
    """A worker that processes slices."""

    worker_id = serializers.CharField()
    location = serializers.CharField(allow_blank=True)
    status = serializers.CharField()
    slice = serializers.CharField(allow_null=True, help_text="What it has in hand")
    slices_completed = serializers.IntegerField()
    slices_failed = serializers.IntegerField()
    last_heartbeat = serializers.DateTimeField()
    end_reason = serializers.CharField(allow_blank=True)


class FastmonSlicesSerializer(serializers.Serializer[Any]):
    """The slices of the run by state, their backlog and the workers."""

    created = serializers.IntegerField()
    queued = serializers.IntegerField()
    claimed = serializers.IntegerField()
    done = serializers.IntegerField()
    failed = serializers.IntegerField()
    skipped = serializers.IntegerField()
    policy = serializers.ChoiceField(choices=BacklogPolicy.choices)
    limit = serializers.IntegerField(allow_null=True, help_text="Slices that may wait")
    backlog = serializers.IntegerField()
    oldest_at = serializers.DateTimeField(allow_null=True)
    arrival_rate = serializers.FloatField(help_text="Slices per second")
    finish_rate = serializers.FloatField(help_text="Slices per second")
    slice_seconds = serializers.FloatField(allow_null=True, help_text="Seconds that one takes")
    seconds_to_drain = serializers.FloatField(allow_null=True)
    waits_for = serializers.CharField(allow_blank=True)
    workers_up = serializers.IntegerField()
    workers_wanted = serializers.IntegerField()
    workers_target = serializers.IntegerField(allow_null=True)
    dispatching_since = serializers.DateTimeField(allow_null=True)
    drained_at = serializers.DateTimeField(allow_null=True)
    reasons = SliceReasonSerializer(many=True)
    samples_not_cut = NotCutSerializer(many=True)
    workers = FastmonWorkerSerializer(many=True)


class FastmonIncidentSerializer(serializers.ModelSerializer[Incident]):
    """An incident of the run."""

    class Meta:
        model = Incident
        fields = ["id", "kind", "subject", "state", "reason", "opened_at"]


class FastmonSerializer(serializers.Serializer[Any]):
    """All that fast monitoring shows of a run."""

    run_number = serializers.IntegerField()
    group = serializers.CharField(allow_blank=True)
    window = serializers.DateTimeField(allow_null=True, help_text="When it began; null for all of the run")
    stf_count = serializers.IntegerField(help_text="STFs in the histograms")
    tf_count = serializers.IntegerField(help_text="TFs in them")
    hits = serializers.IntegerField(help_text="Hits in them")
    summary = FastmonSummarySerializer()
    quantities = QuantitySerializer(many=True)
    detectors = DetectorSerializer(many=True)
    times = serializers.ListField(child=serializers.FloatField(), help_text="Of the strip charts, Unix time")
    latency = SampleLatencySerializer()
    slices = FastmonSlicesSerializer()
    incidents = FastmonIncidentSerializer(many=True)
