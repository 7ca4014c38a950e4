"""Paging through tables of millions: by a unique key, without counting."""

from __future__ import annotations

from rest_framework.pagination import CursorPagination


class ByPosition(CursorPagination):
    """`?limit=`, 100 rows unless asked, 1000 at most; `next` leads on."""

    ordering = "position"
    page_size = 100
    page_size_query_param = "limit"
    max_page_size = 1000


class NewestFirst(ByPosition):
    """The same, the newest row first."""

    ordering = "-id"
