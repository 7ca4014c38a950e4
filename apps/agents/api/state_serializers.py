"""What is asked and answered of moments that are past."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from django.utils import timezone
from rest_framework import serializers

from apps.runs.api.fields import ClockTime
from apps.runs.api.requests import AskedSerializer
from apps.runs.history import Moment, first_entry
from apps.runs.models import JournalEntry, Namespace
from apps.runs.selectors import newest_position
from apps.stf.selectors.past import CountsPast, Difference, RunPast

from ..selectors.past import AgentPast, RunChanged, SystemChanges, SystemPast

_POSITION = re.compile("[0-9]{1,18}")


class RunAskedSerializer(AskedSerializer):
    """The instant or the position; now if neither is given."""

    at = serializers.CharField(required=False, help_text="An instant, ISO 8601")
    position = serializers.IntegerField(min_value=1, required=False, help_text="A position of the journal")

    def validate_at(self, text: str) -> Moment:
        return instant_of(text)

    def validate_position(self, position: int) -> Moment:
        return position_of(position)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "at" in attrs and "position" in attrs:
            raise serializers.ValidationError({"position": "is one moment, `at` another: say one of them"})
        if not attrs:
            attrs["at"] = Moment(at=timezone.now())
        return super().validate(attrs)


class AtAskedSerializer(AskedSerializer):
    """The instant, now if it is left out; the namespace, all if it is left out."""

    at = serializers.CharField(required=False, help_text="An instant, ISO 8601")
    namespace = serializers.SlugRelatedField("name", queryset=Namespace.objects.all(), required=False)

    def validate_at(self, text: str) -> datetime | None:
        return instant_of(text).at

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        attrs.setdefault("at", timezone.now())
        return super().validate(attrs)


class ChangesAskedSerializer(AskedSerializer):
    """Two instants or two positions; `until` is now if it is left out."""

    since = serializers.CharField(help_text="An instant, ISO 8601, or a position of the journal")
    until = serializers.CharField(required=False, help_text="The same; now if it is left out")
    namespace = serializers.SlugRelatedField("name", queryset=Namespace.objects.all(), required=False)

    def validate_since(self, text: str) -> Moment:
        return moment_of(text)

    def validate_until(self, text: str) -> Moment:
        return moment_of(text)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        since: Moment = attrs["since"]
        newest = Moment(at=timezone.now()) if since.at else Moment(position=newest_position())
        until: Moment = attrs.setdefault("until", newest)
        if since.column != until.column:
            raise serializers.ValidationError(
                {"until": "since and until are two instants, or two positions, not one of each"}
            )
        if since.value > until.value:  # type: ignore[operator]
            raise serializers.ValidationError({"since": f"{since} is after {until}, which is `until`"})
        return super().validate(attrs)


def moment_of(text: str) -> Moment:
    """The moment of an instant, or of a position, which has digits only.

    Raises:
        ValidationError: it is neither, or not one that the journal can tell of.
    """
    return position_of(int(text)) if _POSITION.fullmatch(text) else instant_of(text)


def instant_of(text: str) -> Moment:
    """The moment of an instant in ISO 8601.

    Raises:
        ValidationError: it is none, it has not come yet, or the journal begins later.
    """
    at = ClockTime().run_validation(text)
    now, first = timezone.now(), first_entry()
    if at > now:
        raise serializers.ValidationError(f"{at.isoformat()} has not come yet; it is {now.isoformat()}")
    if first is None or at < first.occurred_at:
        begins = f"the journal begins at {first.occurred_at.isoformat()}" if first else "the journal is empty"
        raise serializers.ValidationError(f"nothing is known of {at.isoformat()}: {begins}")
    return Moment(at=at)


def position_of(position: int) -> Moment:
    """The moment of a position.

    Raises:
        ValidationError: the journal has not come to it yet, or begins later.
    """
    newest = newest_position()
    if not 1 <= position <= newest:
        raise serializers.ValidationError(f"the journal has the positions 1 to {newest}")
    return Moment(position=position)


class LastEventSerializer(serializers.ModelSerializer[JournalEntry]):
    """An entry of the journal in brief."""

    class Meta:
        model = JournalEntry
        fields = ["position", "kind", "subject", "actor", "occurred_at"]


class _SamplesSerializer(serializers.Serializer[Any]):
    sampled = serializers.IntegerField()
    skipped = serializers.IntegerField()
    failed = serializers.IntegerField()


class _SlicesSerializer(serializers.Serializer[Any]):
    created = serializers.IntegerField()
    done = serializers.IntegerField(help_text="This and the next two: of samples whose slices have all ended")
    failed = serializers.IntegerField()
    skipped = serializers.IntegerField()


class CountsPastSerializer(serializers.Serializer[CountsPast]):
    """How many STFs had come how far."""

    generated = serializers.IntegerField()
    registered = serializers.IntegerField()
    failed = serializers.IntegerField(help_text="Could not be registered")
    verified = serializers.DictField(child=serializers.IntegerField(), help_text="By RSE")
    releasable = serializers.IntegerField()
    released = serializers.IntegerField()
    processed = serializers.DictField(child=serializers.IntegerField(), help_text="By site")
    samples = _SamplesSerializer()
    slices = _SlicesSerializer()


class RunPastSerializer(serializers.Serializer[RunPast]):
    """What was known of a run. `position` is the highest of its entries."""

    run_number = serializers.IntegerField(source="run.run_number")
    namespace = serializers.CharField(source="run.namespace.name")
    lifecycle = serializers.CharField(source="told.lifecycle")
    state = serializers.CharField(source="told.state")
    substate = serializers.CharField(source="told.substate")
    expected_stf_count = serializers.IntegerField(source="told.expected_stf_count", allow_null=True)
    counts = CountsPastSerializer()
    entries = serializers.IntegerField(help_text="Entries of the journal about it")
    position = serializers.IntegerField(allow_null=True)
    last_event = LastEventSerializer()


class AgentPastSerializer(serializers.Serializer[AgentPast]):
    """What an agent had last said of itself; one that was killed has not said so."""

    instance_name = serializers.CharField()
    state = serializers.CharField(help_text="up, waiting or exited")
    since = serializers.DateTimeField()
    reason = serializers.CharField(help_text="What it waited for")


class SystemPastSerializer(serializers.Serializer[SystemPast]):
    """Runs that were not settled, the newest first, and agents."""

    at = serializers.DateTimeField()
    runs = RunPastSerializer(many=True)
    left_out = serializers.IntegerField(
        help_text="Older runs that are not shown, some of which may be settled"
    )
    agents = AgentPastSerializer(many=True)


class _DifferenceSerializer(serializers.Serializer[Difference]):
    before = serializers.JSONField(allow_null=True)
    after = serializers.JSONField(allow_null=True)


class RunChangesSerializer(serializers.Serializer[RunChanged]):
    """What of a run differs, by the name of the field; and how many entries there are in between, by kind."""

    run_number = serializers.IntegerField(source="changes.run.run_number")
    namespace = serializers.CharField(source="changes.run.namespace.name")
    changed = serializers.DictField(source="changes.changed", child=_DifferenceSerializer())
    entries = serializers.DictField(child=serializers.IntegerField())


class ChangesSerializer(serializers.Serializer[SystemChanges]):
    """Runs with entries in between, the newest first; `other_entries` are those that are about no run."""

    since = serializers.CharField()
    until = serializers.CharField()
    runs = RunChangesSerializer(many=True)
    left_out = serializers.IntegerField(help_text="Older runs with entries in between that are not shown")
    other_entries = serializers.DictField(child=serializers.IntegerField())
