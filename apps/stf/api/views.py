"""STFs, replicas and datasets over REST, to be read."""

from __future__ import annotations

from rest_framework.viewsets import ReadOnlyModelViewSet

from ..filters import DatasetFilter, ReplicaFilter, StfFilter
from ..models import Dataset, Replica, StfFile
from ..selectors import dataset_list, replica_list, stf_list
from .serializers import DatasetSerializer, ReplicaSerializer, StfFileSerializer


class StfFileViewSet(ReadOnlyModelViewSet[StfFile]):
    """STFs with their replicas and processing, newest first, by file name."""

    queryset = stf_list().prefetch_related("processings").order_by("-pk")
    serializer_class = StfFileSerializer
    filterset_class = StfFilter
    lookup_field = "stf_filename"
    lookup_value_regex = r"[A-Za-z0-9._-]+"


class ReplicaViewSet(ReadOnlyModelViewSet[Replica]):
    """Copies at the Echelon 1 sites, newest first."""

    queryset = replica_list()
    serializer_class = ReplicaSerializer
    filterset_class = ReplicaFilter


class DatasetViewSet(ReadOnlyModelViewSet[Dataset]):
    """The datasets of runs, newest first, by run number."""

    queryset = dataset_list()
    serializer_class = DatasetSerializer
    filterset_class = DatasetFilter
    lookup_field = "run__run_number"
    lookup_url_kwarg = "run_number"
    lookup_value_regex = r"\d+"
