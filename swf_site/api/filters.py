"""Ordering of lists by what they offer to be ordered by, and by nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import QuerySet
from rest_framework.exceptions import ValidationError
from rest_framework.filters import OrderingFilter
from rest_framework.request import Request


class Ordering(OrderingFilter):
    """`?ordering=name` or `-name`, of the `ordering_fields` of a view; anything else is refused, not ignored."""

    def get_default_valid_fields(self, *arguments: Any, **options: Any) -> list[tuple[str, str]]:
        """A view that offers nothing has nothing to be ordered by."""
        return []

    def remove_invalid_fields(
        self, queryset: QuerySet[Any], fields: Iterable[str], view: Any, request: Request
    ) -> list[str]:
        """The fields, all of which must be offered."""
        offered = [name for name, _ in self.get_valid_fields(queryset, view, {"request": request})]
        if wrong := [field for field in fields if field.lstrip("-") not in offered]:
            possible = ", ".join(offered) or "nothing"
            raise ValidationError(
                {"ordering": [f"{wrong[0]!r} is not offered; this list can be ordered by {possible}"]}
            )
        # The key last: pages must not show a row twice.
        return [*fields, "-pk"]
