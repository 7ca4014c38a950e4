"""The fast path over REST: to be read; agents of another system tell of their samples and slices, workers ask for slices."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ReadOnlyModelViewSet

from apps.runs.api.fields import NUMBER_PATTERN, UUID_PATTERN
from apps.runs.api.pagination import BareList
from apps.runs.api.requests import all_said_in, made, name_of, one_or_many, said_in
from apps.runs.services import said_over_rest

from .. import services
from ..choices import TfFileStatus, WorkerStatus
from ..filters import FastMonFileFilter, FastMonSampleFilter, TFSliceFilter, WorkerFilter, WorkerTaskFilter
from ..models import FastMonFile, FastMonSample, TFSlice, Worker, WorkerTask
from ..selectors.fast_lists import sample_list, slice_list, tf_file_list, worker_list, worker_task_list
from ..services.samples import TfFileMade
from .fast_requests import (
    ClaimSerializer,
    ResultSerializer,
    SliceChangeSerializer,
    SliceSaidSerializer,
    TfFileChangeSerializer,
    TfFileSaidSerializer,
    WorkerSaidSerializer,
)
from .fast_serializers import (
    FastMonFileSerializer,
    FastMonSampleSerializer,
    SliceSettledSerializer,
    TFSliceSerializer,
    WorkerSerializer,
    WorkerTaskSerializer,
)


class FastMonSampleViewSet(ReadOnlyModelViewSet[FastMonSample]):
    """What fast monitoring made of each STF, newest first."""

    queryset = sample_list()
    serializer_class = FastMonSampleSerializer
    filterset_class = FastMonSampleFilter
    ordering_fields = ["sequence", "announced_at", "decided_at"]
    lookup_value_regex = NUMBER_PATTERN


class FastMonFileViewSet(ReadOnlyModelViewSet[FastMonFile]):
    """TF files, newest first, by their id."""

    queryset = tf_file_list()
    serializer_class = FastMonFileSerializer
    filterset_class = FastMonFileFilter
    pagination_class = BareList
    ordering_fields = ["tf_first", "created_at", "file_size_bytes"]
    search_fields = ["^tf_filename"]
    lookup_field = "tf_file_id"
    lookup_value_regex = UUID_PATTERN

    @extend_schema(request=TfFileSaidSerializer)
    def create(self, request: Request) -> Response:
        """Register a TF file of an STF that this testbed does not sample itself; a known one is left as it is, and answered
        with 200."""
        said = said_in(request, TfFileSaidSerializer)
        length = said["tf_last"] - said["tf_first"] + 1
        file = TfFileMade(
            tf_filename=said["tf_filename"],
            file_url=said["file_url"],
            file_size_bytes=said["file_size_bytes"] or 0,
            checksum=said["checksum"],
            tf_first=said["tf_first"],
            tf_last=said["tf_last"],
            tf_count=said.get("tf_count", length),
        )
        known, created = services.add_tf_file(said["stf_file"], file, by=name_of(request))
        return made(self._shown(known.pk), created=created)

    @extend_schema(request=TfFileChangeSerializer)
    def partial_update(self, request: Request, tf_file_id: str) -> Response:
        """Say that the agent which made a TF file has removed it."""
        file = self.get_object()
        status = TfFileStatus(said_in(request, TfFileChangeSerializer)["status"])
        services.change_tf_file(file, status, by=name_of(request))
        return Response(self._shown(file.pk))

    def _shown(self, key: int) -> object:
        return self.get_serializer(self.get_queryset().get(pk=key)).data


class TFSliceViewSet(ReadOnlyModelViewSet[TFSlice]):
    """Slices with what workers made of them, newest first."""

    queryset = slice_list()
    serializer_class = TFSliceSerializer
    filterset_class = TFSliceFilter
    pagination_class = BareList
    ordering_fields = ["slice_id", "tf_first", "created_at", "completed_at"]
    lookup_value_regex = NUMBER_PATTERN
    # The namespaces in which who asks acts, None for all, as who lets it in knows.
    open_to: frozenset[str] | None = frozenset()

    @extend_schema(
        request=one_or_many("SlicesSaid", SliceSaidSerializer),
        responses=dict.fromkeys((200, 201), one_or_many("TFSlices", TFSliceSerializer)),
    )
    def create(self, request: Request) -> Response:
        """Make slices of TF files that another system's agent has registered: one, or a list, all or none. Known ones are
        left as they are. Answers with the slices, with 201 if any was not known."""
        said = [
            services.SaidSlice(
                tf_filename=one.get("fastmon_file") or one["tf_filename"],
                slice_id=one["slice_id"],
                tf_first=one["tf_first"],
                tf_last=one["tf_last"],
            )
            for one in all_said_in(request, SliceSaidSerializer)
        ]
        slices, created = services.add_slices(said, by=name_of(request))
        rows = self._shown([one.pk for one in slices])
        return made(rows if isinstance(request.data, list) else rows[0], created=created)

    @extend_schema(request=SliceChangeSerializer)
    def partial_update(self, request: Request, pk: str) -> Response:
        """Say what became of a slice that the agent gave to a worker itself."""
        one = self.get_object()
        said = said_in(request, SliceChangeSerializer)
        notes = said["metadata"] or {}
        services.end_visiting_slice(
            one.pk,
            said["status"],
            by=name_of(request),
            reason=str(notes.get("error") or ""),
            worker=said["assigned_worker"],
            result=said["metadata"],
        )
        return Response(self._shown([one.pk])[0])

    @extend_schema(request=ClaimSerializer, responses=TFSliceSerializer(many=True))
    @action(detail=False, methods=["post"], pagination_class=None)
    def claim(self, request: Request) -> Response:
        """Take queued slices for a worker, at most `limit`, of runs in whose namespaces the asker acts; nobody else is given
        them until their lease ends. Answers with the slices, an empty list when none waits."""
        said = said_in(request, ClaimSerializer)
        worker_id = said.pop("worker_id")
        claimed = services.claim_for(worker_id, within=self.open_to, by=name_of(request), **said)
        return Response(self._shown([one.pk for one in claimed]))

    @extend_schema(request=ResultSerializer, responses=SliceSettledSerializer)
    @action(detail=True, methods=["post"])
    def result(self, request: Request, pk: str) -> Response:
        """Say what became of a slice that the worker has claimed: `done`, or `failed`, after which it is tried again.
        Answers with the slice, and with why the word changed nothing (`ignored`), empty when it counted."""
        one = self.get_object()
        said = said_in(request, ResultSerializer)
        report = services.SliceReport(
            one.req_id,
            good=said["status"] == "done",
            worker=said["worker_id"],
            attempt=said.get("attempt"),
            seconds=said.get("processing_seconds"),
            found=said["result"],
            error=said["error"],
            must_hold=True,
        )
        with said_over_rest(name_of(request)):
            ignored = services.record_results([report])
        return Response({**self._shown([one.pk])[0], "ignored": "; ".join(ignored)})

    def _shown(self, keys: list[int]) -> list[dict[str, object]]:
        rows = {one.pk: one for one in self.get_queryset().filter(pk__in=keys)}
        shown: list[dict[str, object]] = self.get_serializer([rows[key] for key in keys], many=True).data
        return shown


class WorkerViewSet(ReadOnlyModelViewSet[Worker]):
    """Workers of slices, those that started last first, by their name."""

    queryset = worker_list()
    serializer_class = WorkerSerializer
    filterset_class = WorkerFilter
    lookup_field = "worker_id"
    lookup_value_regex = "[^/]+"

    @extend_schema(request=WorkerSaidSerializer)
    def create(self, request: Request) -> Response:
        """A heartbeat of a worker; the lease of the slice that it names and has claimed is renewed. Answers with it."""
        said = said_in(request, WorkerSaidSerializer)
        created = not self.get_queryset().filter(worker_id=said["worker_id"]).exists()
        beat = services.Beat(**said | {"status": WorkerStatus(said["status"]), "must_hold": True})
        with said_over_rest(name_of(request)):
            services.record_heartbeats([beat])
        worker = self.get_queryset().get(worker_id=said["worker_id"])
        return made(self.get_serializer(worker).data, created=created)


class WorkerTaskViewSet(ReadOnlyModelViewSet[WorkerTask]):
    """PanDA tasks whose jobs are workers of slices, newest first."""

    queryset = worker_task_list()
    serializer_class = WorkerTaskSerializer
    filterset_class = WorkerTaskFilter
    lookup_value_regex = NUMBER_PATTERN
