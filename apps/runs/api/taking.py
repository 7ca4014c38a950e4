"""What requests say, checked quickly: lists have hundreds of rows, and nearly all of them are right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

from django.core.validators import (
    MaxLengthValidator,
    MaxValueValidator,
    MinValueValidator,
    ProhibitNullCharactersValidator,
)
from rest_framework import serializers
from rest_framework.fields import empty
from rest_framework.validators import ProhibitSurrogateCharactersValidator

Plain = Callable[[Any], bool]
_ANYTHING = type(serializers.DictField().child)
# What a plain value of its field has passed already.
_OF_NUMBERS = frozenset({MinValueValidator, MaxValueValidator})
_OF_TEXTS = frozenset(
    {MaxLengthValidator, ProhibitNullCharactersValidator, ProhibitSurrogateCharactersValidator}
)


class _Taken(NamedTuple):
    name: str
    plain: Plain
    may_be_null: bool
    may_be_missing: bool


class SaidSerializer(serializers.Serializer[Any]):
    """A serializer that only checks what is said. A row whose values are all plain is taken as it is, and the fields are not
    even made; of any other, they say what becomes of it."""

    _fields_taken: ClassVar[list[_Taken] | None]

    def to_internal_value(self, data: Any) -> Any:
        """The values by field."""
        if "_fields_taken" not in type(self).__dict__:
            type(self)._fields_taken = _fields_of(self)
        known = type(self)._fields_taken
        taken = _plain_row(known, data) if known is not None and type(data) is dict else None
        return super().to_internal_value(data) if taken is None else taken

    def _read_only_defaults(self) -> dict[str, Any]:
        # No field is only read. To look for one, the fields would be made.
        return {}


def plain_values(field: Any) -> Plain | None:
    """Whether the field takes a value as it is, asked in less time than the field needs. It says so of most, not of all.

    Returns:
        None for a field that has to be asked itself.
    """
    kind, validators = type(field), {type(validator) for validator in field.validators}
    if isinstance(field, serializers.IntegerField) and _checks_as(serializers.IntegerField, field):
        return _whole_numbers(field) if validators <= _OF_NUMBERS else None
    if kind is serializers.CharField and validators <= _OF_TEXTS:
        return _texts(field)
    if kind is serializers.ChoiceField and not validators:
        same = frozenset(key for key, value in field.choice_strings_to_values.items() if key == value)
        return lambda value: type(value) is str and value in same
    if kind is serializers.DictField and not validators and type(field.child) is _ANYTHING:
        return lambda value: type(value) is dict
    return None


def reader(field: Any) -> Callable[[Any], Any]:
    """The field's `run_validation`, quicker for plain values."""
    plain = plain_values(field)
    read: Callable[[Any], Any] = field.run_validation
    if plain is None:
        return read
    return lambda value: value if plain(value) else read(value)


def _checks_as(kind: type, field: Any) -> bool:
    own = type(field)
    return all(
        getattr(own, name) is getattr(kind, name)
        for name in ("to_internal_value", "run_validation", "get_value", "run_validators")
    )


def _whole_numbers(field: Any) -> Plain:
    low = float("-inf") if field.min_value is None else field.min_value
    high = float("inf") if field.max_value is None else field.max_value
    return lambda value: type(value) is int and low <= value <= high


def _texts(field: Any) -> Plain:
    longest = float("inf") if field.max_length is None else field.max_length

    def plain(value: Any) -> bool:
        return (
            type(value) is str
            and 0 < len(value) <= longest
            and value.isascii()
            and value.isprintable()
            and value[0] != " " != value[-1]
        )

    return plain


def _fields_of(serializer: Any) -> list[_Taken] | None:
    """None if one of the fields has to be asked itself."""
    known = []
    for field in serializer._writable_fields:
        plain = plain_values(field)
        as_named = field.source == field.field_name
        if plain is None or not as_named or hasattr(serializer, f"validate_{field.field_name}"):
            return None
        may_be_missing = not field.required and field.default is empty
        known.append(_Taken(field.field_name, plain, field.allow_null, may_be_missing))
    return known


def _plain_row(known: list[_Taken], data: dict[str, Any]) -> dict[str, Any] | None:
    taken = {}
    for name, plain, may_be_null, may_be_missing in known:
        if name in data:
            value = data[name]
            if not (plain(value) or (may_be_null and value is None)):
                return None
            taken[name] = value
        elif not may_be_missing:
            return None
    return taken
