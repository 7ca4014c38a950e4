"""In which form an answer comes."""

from __future__ import annotations

from collections.abc import Iterable

from rest_framework.exceptions import NotAcceptable
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer


class FormatNotOffered(NotAcceptable):
    """`?format=` names a form in which this does not come."""


class Negotiation(DefaultContentNegotiation):
    """By `?format=`, else by the header `Accept`. To the framework, a format that is not offered is a wrong address."""

    def filter_renderers(self, renderers: Iterable[BaseRenderer], format: str) -> list[BaseRenderer]:
        """The renderers of this format.

        Raises:
            FormatNotOffered: there is none.
        """
        every = list(renderers)
        found = [renderer for renderer in every if renderer.format == format]
        if not found:
            offered = ", ".join(str(renderer.format) for renderer in every)
            raise FormatNotOffered(f"{format!r} is not offered here; there are {offered}")
        return found
