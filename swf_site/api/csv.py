"""`?format=csv`: the rows of a list as a table."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from rest_framework.renderers import BaseRenderer, JSONRenderer

# A spreadsheet takes a text that begins so for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class CSVRenderer(BaseRenderer):
    """A line per row, columns in the order of the fields, what is nested as JSON. Errors stay what they are."""

    media_type = "text/csv"
    format = "csv"
    charset = "utf-8"

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        """The answer as CSV, with a header line."""
        if is_error(renderer_context):
            return JSONRenderer().render(data)
        rows = _rows(data)
        out = io.StringIO()
        columns = list(dict.fromkeys(name for row in rows for name in row)) or _columns(renderer_context)
        lines = csv.DictWriter(out, columns)
        lines.writeheader()
        lines.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
        return out.getvalue().encode()


def is_error(renderer_context: Mapping[str, Any] | None) -> bool:
    """Whether what is rendered is an error, which is JSON whatever was asked for."""
    response = (renderer_context or {}).get("response")
    return response is not None and response.status_code >= 400


def _columns(renderer_context: Mapping[str, Any] | None) -> list[str]:
    """Of a list without rows: the fields that its view shows."""
    made = getattr((renderer_context or {}).get("view"), "get_serializer", None)
    return [name for name, field in made().fields.items() if not field.write_only] if made else []


def _rows(data: Any) -> Sequence[Mapping[str, Any]]:
    if data is None:
        return []
    if isinstance(data, Mapping):
        data = data["results"] if isinstance(data.get("results"), list) else [data]
    return [row if isinstance(row, Mapping) else {"value": row} for row in data]


def _cell(value: Any) -> Any:
    if isinstance(value, Mapping | list | tuple):
        return json.dumps(value, default=str)
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value
