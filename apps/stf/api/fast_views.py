"""The fast path over REST, to be read."""

from __future__ import annotations

from rest_framework.viewsets import ReadOnlyModelViewSet

from ..filters import FastMonFileFilter, FastMonSampleFilter, TFSliceFilter, WorkerFilter, WorkerTaskFilter
from ..models import FastMonFile, FastMonSample, TFSlice, Worker, WorkerTask
from ..selectors.fast_lists import sample_list, slice_list, tf_file_list, worker_list, worker_task_list
from .fast_serializers import (
    FastMonFileSerializer,
    FastMonSampleSerializer,
    TFSliceSerializer,
    WorkerSerializer,
    WorkerTaskSerializer,
)


class FastMonSampleViewSet(ReadOnlyModelViewSet[FastMonSample]):
    """What fast monitoring made of each STF, newest first."""

    queryset = sample_list()
    serializer_class = FastMonSampleSerializer
    filterset_class = FastMonSampleFilter
    lookup_value_regex = r"\d+"


class FastMonFileViewSet(ReadOnlyModelViewSet[FastMonFile]):
    """TF files, newest first, by their id."""

    queryset = tf_file_list()
    serializer_class = FastMonFileSerializer
    filterset_class = FastMonFileFilter
    lookup_field = "tf_file_id"
    lookup_value_regex = "[0-9a-f-]{36}"


class TFSliceViewSet(ReadOnlyModelViewSet[TFSlice]):
    """Slices with what workers made of them, newest first."""

    queryset = slice_list()
    serializer_class = TFSliceSerializer
    filterset_class = TFSliceFilter
    lookup_value_regex = r"\d+"


class WorkerViewSet(ReadOnlyModelViewSet[Worker]):
    """Workers of slices, those that started last first, by their name."""

    queryset = worker_list()
    serializer_class = WorkerSerializer
    filterset_class = WorkerFilter
    lookup_field = "worker_id"
    lookup_value_regex = "[^/]+"


class WorkerTaskViewSet(ReadOnlyModelViewSet[WorkerTask]):
    """PanDA tasks whose jobs are workers of slices, newest first."""

    queryset = worker_task_list()
    serializer_class = WorkerTaskSerializer
    filterset_class = WorkerTaskFilter
    lookup_value_regex = r"\d+"
