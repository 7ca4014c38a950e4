"""JSON, made quickly: writing a page of a thousand rows took the framework's own renderer a tenth of the whole request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from rest_framework.renderers import JSONRenderer
from rest_framework.utils.encoders import JSONEncoder

# The framework's form of them, which ends with Z and may leave digits out.
_ITS_OWN_MOMENTS = orjson.OPT_PASSTHROUGH_DATETIME
_what_else = JSONEncoder().default


class QuickJSONRenderer(JSONRenderer):
    """What `JSONRenderer` writes, in a fraction of its time. Two differences: a number that is none (NaN) is null instead of
    an error, and line separators within texts are not escaped."""

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        """The bytes of the answer; indented ones (`Accept: application/json; indent=4`) and rare values, such as keys that
        are no texts and integers of more than 64 bits, are written by the framework."""
        said = accepted_media_type or self.media_type, renderer_context or {}
        if data is None or self.get_indent(*said) is not None:
            return bytes(super().render(data, *said))
        try:
            return orjson.dumps(data, default=_what_else, option=_ITS_OWN_MOMENTS)
        except TypeError:
            return bytes(super().render(data, *said))
