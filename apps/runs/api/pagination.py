"""Paging through tables of millions: by a unique key, without counting, or by offset, without counting further than it takes
no time; and what the existing agents take for a list."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from typing import Any

from django.db.models import QuerySet
from rest_framework.exceptions import ValidationError
from rest_framework.pagination import Cursor, CursorPagination, LimitOffsetPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

# What a cursor has in it: the key that a page begins beyond, and which way it goes. No key has more digits.
_CURSOR = re.compile(rb"(r=1&)?p=([0-9]{1,18})")
# No table has more rows.
_MOST = 10**18


def _whole(request: Request, name: str, *, at_least: int) -> int | None:
    """The number that a parameter gives; None if it is left out or empty.

    Raises:
        ValidationError: it is none. Ignored, it would show other rows than were meant.
    """
    said = request.query_params.get(name, "")
    if not said:
        return None
    try:
        number = int(said)
    except ValueError:
        number = at_least - 1
    if not at_least <= number <= _MOST:
        raise ValidationError({name: [f"{said!r} is no whole number from {at_least} to {_MOST}"]})
    return number


def _linked(page: Response) -> Response:
    """With the header `Link`: a table has no other place for where it goes on."""
    if after := page.data["next"]:
        page["Link"] = _link(after)
    return page


def _link(after: str) -> str:
    return f'<{after}>; rel="next"'


class ByPosition(CursorPagination):
    """`?limit=`, 100 rows unless asked, 1000 at most; `next` leads on."""

    ordering = "position"
    page_size = 100
    page_size_query_param = "limit"
    max_page_size = 1000

    def get_page_size(self, request: Request) -> int:
        """How many rows are asked for."""
        return min(_whole(request, "limit", at_least=1) or self.page_size, self.max_page_size)

    def decode_cursor(self, request: Request) -> Cursor | None:
        """Where the page begins; None at the beginning.

        Raises:
            ValidationError: the cursor is none that a page has given. Ignored, it would show the first rows again.
        """
        said = request.query_params.get(self.cursor_query_param, "")
        if not said:
            return None
        try:
            found = _CURSOR.fullmatch(b64decode(said, validate=True))
        except ValueError:
            found = None
        if found is None:
            raise ValidationError({"cursor": [f"{said!r} is none: go to the address in `next` of a page"]})
        return Cursor(offset=0, reverse=bool(found[1]), position=int(found[2]))

    def get_paginated_response(self, data: Any) -> Response:
        """The rows in their envelope."""
        return _linked(super().get_paginated_response(data))


class NewestFirst(ByPosition):
    """The same, the newest row first."""

    ordering = "-id"


class Offsets(LimitOffsetPagination):
    """`?limit=&offset=`, 100 rows unless asked, 1000 at most. `count` is exact up to `COUNTED` rows, and on the last page;
    beyond that it is what PostgreSQL estimates, and `count_is_estimate` says so. `next` is right in any case.

    The keys of a page are found first, and its rows by them: the rows before it are then neither read nor joined.
    """

    default_limit: int = 100
    max_limit: int = 1000
    COUNTED = 10_000

    def get_limit(self, request: Request) -> int:
        """How many rows are asked for."""
        return min(_whole(request, "limit", at_least=1) or self.default_limit, self.max_limit)

    def get_offset(self, request: Request) -> int:
        """How many rows are left out before them."""
        return _whole(request, "offset", at_least=0) or 0

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        """The rows of the page."""
        limit, offset = self.get_limit(request), self.get_offset(request)
        self.request, self.limit, self.offset = request, limit, offset
        keys = list(queryset.values_list("pk", flat=True)[offset : offset + limit + 1])
        has_more = len(keys) > limit
        self._next_offset = offset + limit if has_more else None
        self._is_estimate = False
        if has_more or (offset and not keys):
            self.count = self._count(queryset, at_least=offset + len(keys) if keys else 0)
        else:
            self.count = offset + len(keys)
        return list(queryset.filter(pk__in=keys[:limit])) if keys else []

    def _count(self, queryset: QuerySet[Any], *, at_least: int) -> int:
        rows = queryset.order_by().values("pk")
        counted = rows[: self.COUNTED + 1].count()
        if counted <= self.COUNTED:
            return counted
        self._is_estimate = True
        plan = json.loads(rows.explain(format="json"))[0]["Plan"]
        return max(int(plan["Plan Rows"]), counted, at_least)

    def get_next_link(self) -> str | None:
        """The address of the next page; None on the last one."""
        if self._next_offset is None or self.request is None:
            return None
        url = replace_query_param(self.request.build_absolute_uri(), self.limit_query_param, self.limit)
        return str(replace_query_param(url, self.offset_query_param, self._next_offset))

    def get_paginated_response(self, data: Any) -> Response:
        """The rows in their envelope."""
        response = super().get_paginated_response(data)
        if self._is_estimate:
            response.data["count_is_estimate"] = True
        return _linked(response)


class BareList(Offsets):
    """`?limit=&offset=`. Without them 250 rows alone, as the existing agents take them, and a header `Link` to the next ones
    if there are more."""

    default_limit = 250

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
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
        return Response(data, headers={"Link": _link(after)} if after else None)
