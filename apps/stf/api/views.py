"""STFs, replicas and datasets over REST: to be read, and STFs to be remarked upon."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ReadOnlyModelViewSet

from apps.runs.api.fields import NUMBER_PATTERN
from apps.runs.api.requests import name_of, said_in

from .. import services
from ..choices import FileStatus
from ..filters import DatasetFilter, ReplicaFilter, StfFilter
from ..models import Dataset, Replica, StfFile
from ..selectors import dataset_list, replica_list
from ..selectors.file_status import stf_rows
from .serializers import DatasetSerializer, ReplicaSerializer, StfFileSerializer, StfRemarkSerializer


class StfFileViewSet(ReadOnlyModelViewSet[StfFile]):
    """STFs with their replicas and processing, newest first, by file name."""

    queryset = stf_rows()
    serializer_class = StfFileSerializer
    filterset_class = StfFilter
    ordering_fields = ["sequence", "generated_at", "size_bytes", "stf_filename"]
    search_fields = ["^stf_filename"]
    lookup_field = "stf_filename"
    lookup_value_regex = r"[A-Za-z0-9._-]+"

    @extend_schema(request=StfRemarkSerializer)
    def partial_update(self, request: Request, stf_filename: str) -> Response:
        """Note a `status` of the existing system, or `metadata`; refused where the facets say otherwise."""
        said = said_in(request, StfRemarkSerializer)
        status = FileStatus(said["status"]) if "status" in said else None
        stf = services.remark(stf_filename, by=name_of(request), status=status, metadata=said.get("metadata"))
        return Response(self.get_serializer(self.get_queryset().get(pk=stf.pk)).data)


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
    lookup_value_regex = NUMBER_PATTERN
