"""What STFs, replicas, datasets and processing can be searched by: the same words in page addresses and over REST."""

from __future__ import annotations

from django_filters import rest_framework as filters

from .choices import BufferState, Policy, ProcessingState, Registration, ReplicaState
from .models import (
    Brake,
    Dataset,
    DecisionBox,
    ProcessingJob,
    ProcessingOutput,
    ProcessingSite,
    ProcessingTask,
    Replica,
    StfFile,
    StfProcessing,
)


class StfFilter(filters.FilterSet):
    run = filters.NumberFilter(field_name="run__run_number")
    sequence = filters.NumberFilter()
    stf_filename = filters.CharFilter()
    registration = filters.ChoiceFilter(choices=Registration.choices)
    buffer = filters.ChoiceFilter(choices=BufferState.choices)
    # At any of its sites.
    processing = filters.ChoiceFilter(
        field_name="processings__state", choices=ProcessingState.choices, distinct=True
    )

    class Meta:
        model = StfFile
        fields = ["run", "sequence", "stf_filename", "registration", "buffer", "processing"]


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
