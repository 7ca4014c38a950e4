"""One pagination for all lists: pages of a bounded size, newest first by a unique key."""

from __future__ import annotations

from apps.runs.api.pagination import Offsets


class Pages(Offsets):
    """`?limit=&offset=`, 100 rows unless asked, 1000 at most."""

    default_limit = 100
