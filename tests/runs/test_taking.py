"""What is said is checked quickly, and as REST framework checks it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from apps.runs.api.fields import RunNumber
from apps.runs.api.taking import SaidSerializer, plain_values, reader

FIELDS: dict[str, Any] = {
    "number": lambda: serializers.IntegerField(min_value=1, max_value=9, required=False, allow_null=True),
    "any_number": lambda: serializers.IntegerField(default=None, allow_null=True),
    "run": RunNumber,
    "text": lambda: serializers.CharField(max_length=3),
    "blank": lambda: serializers.CharField(required=False, allow_blank=True, allow_null=True),
    "untrimmed": lambda: serializers.CharField(required=False, trim_whitespace=False),
    "choice": lambda: serializers.ChoiceField(choices=["one", ("two", "Two"), 3], required=False),
    "notes": lambda: serializers.DictField(required=False),
    "numbers": lambda: serializers.DictField(child=serializers.IntegerField(), required=False),
    "pattern": lambda: serializers.RegexField("^a+$", required=False),
}


def serializer(base: type, names: frozenset[str]) -> type[serializers.Serializer[Any]]:
    return type("AnySerializer", (base,), {name: FIELDS[name]() for name in sorted(names)})


def outcome(kind: type[serializers.Serializer[Any]], data: Any) -> tuple[str, Any]:
    one = kind(data=data)
    return ("taken", dict(one.validated_data)) if one.is_valid() else ("refused", one.errors)


WORDS = ["", " ", "a", "aa ", "one", "two", "3", "3.0", "\x00", "\ud800", "é", "four", "a\n", "٣"]
VALUES: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(WORDS),
    st.integers(-1, 10),
    st.sampled_from([2**63 - 1, 2**63, 2**64, 1.0, 1.5, True, False, None]),
    st.lists(st.integers(), max_size=1),
    st.dictionaries(st.sampled_from(["a", "b"]), st.sampled_from([None, 1, "x", [1], "\x00"]), max_size=2),
)


@given(
    names=st.frozensets(st.sampled_from(sorted(FIELDS)), min_size=1),
    data=st.dictionaries(st.sampled_from(sorted(FIELDS)), VALUES) | VALUES,
)
def test_it_takes_and_refuses_what_the_fields_would(names: frozenset[str], data: Any) -> None:
    quick, slow = serializer(SaidSerializer, names), serializer(serializers.Serializer, names)

    assert outcome(quick, data) == outcome(slow, data)


@given(data=st.lists(st.dictionaries(st.sampled_from(["number", "text"]), VALUES), max_size=4))
def test_so_it_does_with_lists(data: list[Any]) -> None:
    names = frozenset({"number", "text"})
    quick, slow = serializer(SaidSerializer, names), serializer(serializers.Serializer, names)
    many = [kind(data=data, many=True) for kind in (quick, slow)]

    assert many[0].is_valid() == many[1].is_valid()
    assert many[0].errors == many[1].errors


@given(name=st.sampled_from(sorted(FIELDS)), value=VALUES)
def test_a_plain_value_is_one_that_its_field_leaves(name: str, value: Any) -> None:
    field = FIELDS[name]()
    plain = plain_values(field)
    try:
        left = field.run_validation(value)
    except ValidationError:
        assert plain is None or not plain(value)
        with pytest.raises(ValidationError):
            reader(field)(value)
    else:
        assert plain is None or not plain(value) or (left == value and type(left) is type(value))
        assert reader(field)(value) == left


def test_a_field_with_rules_of_its_own_is_asked_itself() -> None:
    class Even(serializers.IntegerField):
        def to_internal_value(self, data: Any) -> int:
            return 2 * super().to_internal_value(data)

    class Row(SaidSerializer):
        even = Even()
        named = serializers.CharField(source="other")

        def validate_even(self, value: int) -> int:
            return value + 2

    assert outcome(Row, {"even": 1, "named": "x"}) == ("taken", {"even": 4, "other": "x"})
