"""One pagination for all lists: pages of a bounded size, newest first by a unique key."""

from __future__ import annotations

from rest_framework.pagination import LimitOffsetPagination


class Pages(LimitOffsetPagination):
    """`?limit=&offset=`, 100 rows unless asked, 1000 at most."""

    default_limit = 100
    max_limit = 1000
