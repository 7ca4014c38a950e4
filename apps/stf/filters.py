"""What STFs and all that becomes of them can be searched by: the same words in page addresses and over REST.

Those of the fast path are the existing system's, beside `run` as everywhere.
"""

from __future__ import annotations

from django.db.models import Exists, OuterRef, QuerySet
from django_filters import rest_framework as filters

from apps.runs.core_states import CoreState, CoreSubstate
from apps.runs.filters import shown
from apps.runs.models import Run

from .choices import (
    BufferState,
    FileStatus,
    Policy,
    ProcessingState,
    Registration,
    ReplicaState,
    SampleState,
    SliceState,
    Slicing,
    TfFileStatus,
    WorkerStatus,
)
from .models import (
    Brake,
    Dataset,
    DecisionBox,
    FastMonFile,
    FastMonSample,
    ProcessingJob,
    ProcessingOutput,
    ProcessingSite,
    ProcessingTask,
    Replica,
    StfFile,
    StfProcessing,
    TFSlice,
    Worker,
    WorkerTask,
)
from .selectors.file_status import of_status


class StfFilter(filters.FilterSet):
    """`status` is the existing system's, out of all facets."""

    run = filters.NumberFilter(field_name="run__run_number")
    run_number = filters.NumberFilter(field_name="run__run_number")
    sequence = filters.NumberFilter()
    stf_filename = filters.CharFilter()
    registration = filters.ChoiceFilter(choices=Registration.choices)
    buffer = filters.ChoiceFilter(choices=BufferState.choices)
    # At any of its sites.
    processing = filters.ChoiceFilter(choices=ProcessingState.choices, method="of_processing")
    status = filters.ChoiceFilter(choices=FileStatus.choices, method="of_status")

    class Meta:
        model = StfFile
        fields = [
            "run",
            "run_number",
            "sequence",
            "stf_filename",
            "registration",
            "buffer",
            "processing",
            "status",
        ]

    def of_processing(self, stfs: QuerySet[StfFile], name: str, state: str) -> QuerySet[StfFile]:
        return stfs.filter(Exists(StfProcessing.objects.filter(stf=OuterRef("pk"), state=state)))

    def of_status(self, stfs: QuerySet[StfFile], name: str, status: str) -> QuerySet[StfFile]:
        return of_status(stfs, FileStatus(status))


class RunStateFilter(filters.FilterSet):
    state = filters.MultipleChoiceFilter(choices=shown(CoreState))
    substate = filters.MultipleChoiceFilter(choices=shown(CoreSubstate))

    class Meta:
        model = Run
        fields = ["run_number", "state", "substate", "lifecycle"]


class ReplicaFilter(filters.FilterSet):
    run = filters.NumberFilter(field_name="stf__run__run_number")
    rse = filters.CharFilter()
    state = filters.ChoiceFilter(choices=ReplicaState.choices)

    class Meta:
        model = Replica
        fields = ["run", "rse", "state"]


class DatasetFilter(filters.FilterSet):
    run = filters.NumberFilter(field_name="run__run_number")

    class Meta:
        model = Dataset
        fields = ["run", "is_open"]


class ProcessingSiteFilter(filters.FilterSet):
    class Meta:
        model = ProcessingSite
        fields = ["is_down"]


class ProcessingTaskFilter(filters.FilterSet):
    """`status` is PanDA's word; `submitted` says whether PanDA knows the task."""

    run = filters.NumberFilter(field_name="run__run_number")
    site = filters.CharFilter()
    status = filters.CharFilter()
    submitted = filters.BooleanFilter(field_name="jedi_task_id", lookup_expr="isnull", exclude=True)

    class Meta:
        model = ProcessingTask
        fields = ["run", "site", "status", "jedi_task_id", "is_open", "submitted"]


class ProcessingJobFilter(filters.FilterSet):
    """`status` is PanDA's word; `open` says whether the job may still change."""

    run = filters.NumberFilter(field_name="task__run__run_number")
    site = filters.CharFilter(field_name="task__site")
    status = filters.CharFilter()
    sequence = filters.NumberFilter(field_name="processings__stf__sequence")
    open = filters.BooleanFilter(field_name="ended_at", lookup_expr="isnull")

    class Meta:
        model = ProcessingJob
        fields = ["run", "site", "status", "sequence", "open"]


class StfProcessingFilter(filters.FilterSet):
    run = filters.NumberFilter(field_name="run__run_number")
    sequence = filters.NumberFilter(field_name="stf__sequence")
    site = filters.CharFilter()
    state = filters.MultipleChoiceFilter(choices=ProcessingState.choices)

    class Meta:
        model = StfProcessing
        fields = ["run", "sequence", "site", "state", "chosen_site", "may_move"]


class ProcessingOutputFilter(filters.FilterSet):
    run = filters.NumberFilter(field_name="job__task__run__run_number")
    panda_id = filters.NumberFilter(field_name="job__panda_id")
    rse = filters.CharFilter()
    name = filters.CharFilter()
    registered = filters.BooleanFilter(field_name="registered_at", lookup_expr="isnull", exclude=True)

    class Meta:
        model = ProcessingOutput
        fields = ["run", "panda_id", "rse", "name", "registered"]


class DecisionBoxFilter(filters.FilterSet):
    run = filters.NumberFilter(field_name="run__run_number")
    policy = filters.ChoiceFilter(choices=Policy.choices)

    class Meta:
        model = DecisionBox
        fields = ["run", "policy"]


class BrakeFilter(filters.FilterSet):
    run = filters.NumberFilter(field_name="run__run_number")

    class Meta:
        model = Brake
        fields = ["run", "is_on"]


class FastMonSampleFilter(filters.FilterSet):
    run = filters.NumberFilter(field_name="run__run_number")
    run_number = filters.NumberFilter(field_name="run__run_number")
    stf_filename = filters.CharFilter(field_name="stf__stf_filename")
    state = filters.MultipleChoiceFilter(choices=SampleState.choices)
    slicing = filters.MultipleChoiceFilter(choices=Slicing.choices)

    class Meta:
        model = FastMonSample
        fields = ["run", "run_number", "sequence", "stf_filename", "state", "slicing"]


class FastMonFileFilter(filters.FilterSet):
    run = filters.NumberFilter(field_name="sample__run__run_number")
    run_number = filters.NumberFilter(field_name="sample__run__run_number")
    sequence = filters.NumberFilter(field_name="sample__sequence")
    stf_filename = filters.CharFilter(field_name="sample__stf__stf_filename")
    status = filters.ChoiceFilter(choices=TfFileStatus.choices)

    class Meta:
        model = FastMonFile
        fields = ["run", "run_number", "sequence", "stf_filename", "tf_filename", "status"]


class TFSliceFilter(filters.FilterSet):
    run = filters.NumberFilter(field_name="run__run_number")
    run_number = filters.NumberFilter(field_name="run__run_number")
    stf_filename = filters.CharFilter(field_name="fastmon_file__sample__stf__stf_filename")
    tf_filename = filters.CharFilter(field_name="fastmon_file__tf_filename")
    status = filters.MultipleChoiceFilter(choices=SliceState.choices)

    class Meta:
        model = TFSlice
        fields = [
            "run",
            "run_number",
            "stf_filename",
            "tf_filename",
            "slice_id",
            "req_id",
            "status",
            "assigned_worker",
        ]


class WorkerTaskFilter(filters.FilterSet):
    """`open` says whether jobs of it may still come or are at work."""

    run_number = filters.NumberFilter(field_name="run__run_number")
    open = filters.BooleanFilter(field_name="ended_at", lookup_expr="isnull")

    class Meta:
        model = WorkerTask
        fields = ["run_number", "site", "jedi_task_id", "open"]


class WorkerFilter(filters.FilterSet):
    """`up` says whether the worker may still take slices."""

    status = filters.MultipleChoiceFilter(choices=WorkerStatus.choices)
    up = filters.BooleanFilter(field_name="ended_at", lookup_expr="isnull")

    class Meta:
        model = Worker
        fields = ["worker_id", "location", "panda_id", "status", "up"]
