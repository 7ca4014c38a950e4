"""Paging through tables of millions by a unique key, without counting; and what the existing agents take for a list."""

from __future__ import annotations

from typing import Any

from rest_framework.pagination import CursorPagination, LimitOffsetPagination
from rest_framework.request import Request
from rest_framework.response import Response


class ByPosition(CursorPagination):
    """`?limit=`, 100 rows unless asked, 1000 at most; `next` leads on."""

    ordering = "position"
    page_size = 100
    page_size_query_param = "limit"
    max_page_size = 1000


class NewestFirst(ByPosition):
    """The same, the newest row first."""

    ordering = "-id"


class Thousand(LimitOffsetPagination):
    """`?limit=&offset=`, 1000 rows unless asked: agents of the existing system look for theirs in the first page."""

    default_limit = 1000
    max_limit = 1000


class BareList(Thousand):
    """As `Thousand`; without `limit` and `offset` the rows alone, as the existing agents take them, and a header `Link` to
    the next ones if there are more."""

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any] | None:
        """The rows of the page."""
        self.is_bare = not {self.limit_query_param, self.offset_query_param} & set(request.query_params)
        return super().paginate_queryset(queryset, request, view)

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """The rows, with or without their envelope."""
        return {"oneOf": [schema, super().get_paginated_response_schema(schema)]}

    def get_paginated_response(self, data: Any) -> Response:
        """The rows, with or without their envelope."""
        if not self.is_bare:
            return super().get_paginated_response(data)
        after = self.get_next_link()
        return Response(data, headers={"Link": f'<{after}>; rel="next"'} if after else None)
