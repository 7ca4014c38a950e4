"""The figures of a run over REST."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.runs.api.renderers import QuickJSONRenderer
from apps.runs.api.requests import AskedSerializer, asked_in
from apps.runs.selectors import get_run

from ..selectors.run_statistics import LATENCY_STFS, MOST_RANGES, run_statistics

STAGES = ["generated", "registered", "verified", "processed", "sampled"]


class RateSerializer(serializers.Serializer[Any]):
    """Arrivals per second; null while nothing has arrived."""

    stfs_per_second = serializers.FloatField(allow_null=True, help_text="STFs per second")
    bytes_per_second = serializers.FloatField(allow_null=True, help_text="Bytes per second")


class LatencySerializer(serializers.Serializer[Any]):
    """Seconds from the closed STF to its arrival at the stage."""

    stfs = serializers.IntegerField(
        help_text=f"Of how many: those of the latest {LATENCY_STFS} STFs that are through"
    )
    p50 = serializers.FloatField(help_text="Median, seconds")
    p95 = serializers.FloatField(help_text="95th percentile, seconds")
    p99 = serializers.FloatField(help_text="99th percentile, seconds")
    max = serializers.FloatField(help_text="The slowest, seconds")


class StageSerializer(serializers.Serializer[Any]):
    """One stage, at one RSE or site if it has any."""

    stage = serializers.ChoiceField(choices=STAGES)
    place = serializers.CharField(allow_null=True, help_text="The RSE of a copy, the site of processing")
    total = serializers.IntegerField(help_text="STFs that have come to it: the next four together")
    done = serializers.IntegerField(help_text="STFs that are through")
    waiting = serializers.IntegerField(help_text="STFs that wait or are under way: the backlog")
    failed = serializers.IntegerField(help_text="STFs that have failed in it")
    skipped = serializers.IntegerField(help_text="STFs that are left out on purpose")
    size_bytes = serializers.IntegerField(help_text="Bytes of the STFs that are through")
    oldest_waiting_seconds = serializers.FloatField(
        allow_null=True, help_text="How long the oldest one has waited, seconds"
    )
    whole_run = RateSerializer(help_text="From the begin of physics to the last arrival")
    last_minute = RateSerializer(help_text="Of the last 60 seconds")
    latency = LatencySerializer(allow_null=True)


class RangeSerializer(serializers.Serializer[Any]):
    """Sequences, both ends included."""

    first = serializers.IntegerField()
    last = serializers.IntegerField()


class GapsSerializer(serializers.Serializer[Any]):
    """Sequences that should be there: up to the count of `end_run`, before that up to the highest known."""

    missing = serializers.IntegerField(help_text="How many in all")
    ranges = RangeSerializer(many=True, help_text=f"The lowest {MOST_RANGES} ranges")


class RunStatisticsSerializer(serializers.Serializer[Any]):
    """The figures of a run."""

    run_number = serializers.IntegerField(source="run.run_number")
    at = serializers.DateTimeField(help_text="When they were taken")
    stages = StageSerializer(many=True)
    gaps = GapsSerializer()


class RunStatisticsView(APIView):
    """`runs/<number>/statistics/`: how the STFs of a run come through its stages."""

    renderer_classes = [QuickJSONRenderer]

    @extend_schema(responses=RunStatisticsSerializer)
    def get(self, request: Request, run_number: int) -> Response:
        """Rates, latencies, backlogs and missing sequences of the run."""
        asked_in(request, AskedSerializer)
        return Response(RunStatisticsSerializer(run_statistics(get_run(run_number))).data)
