"""Rows together with what they belong to, and no more of that than is asked for."""

from __future__ import annotations

from collections.abc import Collection
from typing import TypeVar

from django.db.models import Model, QuerySet

ModelT = TypeVar("ModelT", bound=Model)


def with_related(rows: QuerySet[ModelT], **fields: Collection[str]) -> QuerySet[ModelT]:
    """The rows, each with the rows at these paths of foreign keys, and of each of those the key and the named fields.

    As `select_related`, which reads all columns: a run has eighteen, six of them times, and to make them anew for each of
    its rows took most of the time of some lists of a thousand. What is not read is fetched when it is asked for.

    Args:
        fields: by path, such as `stf` and `stf__run`; one that leads on is named, too, if only with no field.
    """
    unread = [
        name
        for path, read in fields.items()
        for column in _model_at(rows.model, path)._meta.concrete_fields
        if not column.primary_key
        and column.name not in read
        and (name := f"{path}__{column.name}") not in fields
    ]
    return rows.select_related(*fields).defer(*unread)


def _model_at(model: type[Model], path: str) -> type[Model]:
    for step in path.split("__"):
        model = model._meta.get_field(step).related_model  # type: ignore[assignment] # it is a relation
    return model
