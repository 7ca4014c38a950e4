"""What STFs, replicas and datasets can be searched by: the same words in page addresses and over REST."""

from __future__ import annotations

from django_filters import rest_framework as filters

from .choices import BufferState, Registration, ReplicaState
from .models import Dataset, Replica, StfFile


class StfFilter(filters.FilterSet):
    run = filters.NumberFilter(field_name="run__run_number")
    sequence = filters.NumberFilter()
    stf_filename = filters.CharFilter()
    registration = filters.ChoiceFilter(choices=Registration.choices)
    buffer = filters.ChoiceFilter(choices=BufferState.choices)

    class Meta:
        model = StfFile
        fields = ["run", "sequence", "stf_filename", "registration", "buffer"]


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
