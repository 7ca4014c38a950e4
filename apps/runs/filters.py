"""What runs and their journal can be searched by: the same words in page addresses and over REST."""

from __future__ import annotations

from django_filters import rest_framework as filters

from .choices import RunLifecycle
from .models import JournalEntry, Namespace, Run


class RunFilter(filters.FilterSet):
    run_number = filters.NumberFilter()
    lifecycle = filters.MultipleChoiceFilter(choices=RunLifecycle.choices)
    namespace = filters.ModelChoiceFilter(queryset=Namespace.objects.all(), to_field_name="name")
    state = filters.CharFilter()
    requested_by = filters.CharFilter(field_name="execution__executed_by")
    requested_after = filters.IsoDateTimeFilter(field_name="requested_at", lookup_expr="gte")
    requested_before = filters.IsoDateTimeFilter(field_name="requested_at", lookup_expr="lt")

    class Meta:
        model = Run
        fields = [
            "run_number",
            "lifecycle",
            "namespace",
            "state",
            "requested_by",
            "requested_after",
            "requested_before",
        ]


class JournalFilter(filters.FilterSet):
    """`after` is a cursor: entries whose position is higher, the next first."""

    after = filters.NumberFilter(field_name="position", lookup_expr="gt")
    run = filters.NumberFilter(field_name="run__run_number")
    kind = filters.CharFilter()
    actor = filters.CharFilter()
    subject = filters.CharFilter()

    class Meta:
        model = JournalEntry
        fields = ["after", "run", "kind", "actor", "subject"]
