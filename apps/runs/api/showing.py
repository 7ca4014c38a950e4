"""Rows as REST shows them, quickly: lists have a thousand of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any, ClassVar, TypeVar

from django.db.models import Manager, Model
from rest_framework import fields, serializers

ModelT = TypeVar("ModelT", bound=Model)
# What such fields make of a value of their column is that value.
_AS_IT_IS = frozenset(
    {
        *(fields.BooleanField, fields.CharField, fields.ChoiceField, fields.DictField, fields.FloatField),
        *(fields.IntegerField, fields.JSONField),
    }
)


class RowSerializer(serializers.ModelSerializer[ModelT]):
    """A serializer that only shows rows. It makes of them what its fields would, but how to do so is found out once for its
    class and not for each value."""

    _columns: ClassVar[list[tuple[str, Callable[[Any, Any], Any]]]]

    def to_representation(self, instance: ModelT) -> dict[str, Any]:
        """The row by field."""
        if "_columns" not in type(self).__dict__:
            type(self)._columns = [(name, _column(field)) for name, field in type(self)().fields.items()]
        return {name: value_in(self, instance) for name, value_in in self._columns}


def _column(field: Any) -> Callable[[Any, Any], Any]:
    """How the value of a field is found, by serializer and row."""
    if isinstance(field, serializers.SerializerMethodField):
        method: Callable[[Any, Any], Any] = getattr(type(field.parent), field.method_name)
        return method
    if isinstance(field, serializers.ListSerializer):
        return _rows_of(field)
    own_way = type(field).get_attribute is not fields.Field.get_attribute
    may_lead_nowhere = field.default is not fields.empty or (field.allow_null and len(field.source_attrs) > 1)
    if own_way or may_lead_nowhere or "__str__" in field.source_attrs:
        return _by_the_field(field)
    found, shown = attrgetter(field.source), _shown_by(field)
    if shown is None:
        return lambda _, row: found(row)
    return lambda _, row: None if (value := found(row)) is None else shown(value)


def _rows_of(field: Any) -> Callable[[Any, Any], Any]:
    found, child = attrgetter(field.source), field.child

    def rows(_: Any, row: Any) -> list[Any]:
        related: Iterable[Any] | Manager[Any] = found(row)
        those = related.all() if isinstance(related, Manager) else related
        return [child.to_representation(one) for one in those]

    return rows


def _by_the_field(field: Any) -> Callable[[Any, Any], Any]:
    def value_in(_: Any, row: Any) -> Any:
        value = field.get_attribute(row)
        return None if value is None else field.to_representation(value)

    return value_in


def _shown_by(field: Any) -> Callable[[Any], Any] | None:
    """What the field makes of a value; None if it leaves it."""
    if type(field) is fields.DateTimeField and not hasattr(field, "format"):
        return _moment
    shown: Callable[[Any], Any] | None = None if type(field) in _AS_IT_IS else field.to_representation
    return shown


def _moment(value: datetime) -> str:
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
