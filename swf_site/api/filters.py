"""What lists may be asked: what they offer, and nothing else. What is ignored gives wrong answers that look right."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import QuerySet
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework.exceptions import ValidationError
from rest_framework.filters import BaseFilterBackend, OrderingFilter, SearchFilter
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.settings import api_settings


class OnlyKnown(BaseFilterBackend):
    """Refuses parameters that the list, or what is looked up in it, does not know."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: Any) -> QuerySet[Any]:
        """The rows as they are.

        Raises:
            ValidationError: there is an unknown parameter; it is named, with those that there are.
        """
        if request.method not in SAFE_METHODS or not request.query_params:
            return queryset
        known = _known(view, queryset)
        unknown = [name for name in request.query_params if name not in known]
        if unknown:
            said = f"there is no such parameter here; there are {', '.join(known)}"
            raise ValidationError({name: [said] for name in unknown})
        return queryset


def _known(view: Any, queryset: QuerySet[Any]) -> list[str]:
    """The parameters of a view: its filters first."""
    filters = DjangoFilterBackend().get_filterset_class(view, queryset)
    names = list(filters.base_filters) if filters else []
    if getattr(view, "search_fields", None):
        names.append(api_settings.SEARCH_PARAM)
    if getattr(view, "ordering_fields", None):
        names.append(api_settings.ORDERING_PARAM)
    if view.paginator:
        names += [one["name"] for one in view.paginator.get_schema_operation_parameters(view)]
    return [*names, str(api_settings.URL_FORMAT_OVERRIDE)]


class Search(SearchFilter):
    """`?search=text`, anywhere in one of the `search_fields` of a view; of those with `^` at the beginning, in the case in
    which it is written there. Such are names of files, of which there are millions: an index finds them so."""

    search_description = "Text in the fields that the list is searched by; names of files by their beginning."
    lookup_prefixes = SearchFilter.lookup_prefixes | {"^": "startswith"}

    def get_search_terms(self, request: Request) -> list[str]:
        """The words to look for.

        Raises:
            ValidationError: no text has such characters.
        """
        try:
            return list(super().get_search_terms(request))
        except ValidationError as error:
            raise ValidationError({self.search_param: error.detail}) from error


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
