"""Bodies of requests: JSON that can be stored, and read again, by whatever has to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

from rest_framework.exceptions import ParseError, UnsupportedMediaType
from rest_framework.parsers import JSONParser

# Python reads and writes JSON by recursion, out of any depth of calls; what is stored must never be too deep for that.
DEEPEST = 100


class Parser(JSONParser):
    """JSON, nested no deeper than `DEEPEST`."""

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        """The body.

        Raises:
            ParseError: it is no JSON, or nested deeper.
            UnsupportedMediaType: it is compressed.
        """
        _check_plain(parser_context or {})
        try:
            data = super().parse(stream, media_type, parser_context)
        except RecursionError:
            raise _too_deep() from None
        if is_deeper(data, DEEPEST):
            raise _too_deep()
        return data


def _check_plain(context: Mapping[str, Any]) -> None:
    coding = context["request"].headers.get("Content-Encoding", "") if "request" in context else ""
    if coding.lower() not in ("", "identity"):
        raise UnsupportedMediaType(coding, f"the body is encoded as {coding!r}: send it as it is")


def is_deeper(data: Any, levels: int) -> bool:
    """Whether objects and lists are nested deeper than so many levels."""
    level = [data]
    for _ in range(levels + 1):
        level = [inner for outer in level if isinstance(outer, dict | list) for inner in _in(outer)]
        if not level:
            return False
    return True


def _in(outer: dict[str, Any] | list[Any]) -> list[Any]:
    return list(outer.values()) if isinstance(outer, dict) else outer


def _too_deep() -> ParseError:
    return ParseError(f"the body is nested deeper than {DEEPEST} levels: send less deep JSON")
