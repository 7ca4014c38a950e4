"""What a `slice_result` says. The transformers of the existing system and our workers write it in the same shape: the slice
as it was given, with what was found beside its fields, in `content.result.result`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from math import isfinite
from typing import Any
from uuid import UUID

from apps.runs.errors import DomainError
from apps.stf.services import SliceReport

from ..bus.fast_schemas import SliceContent, SliceOutcome, SliceResult


def report_of(message: SliceResult) -> SliceReport:
    """The report that the message makes.

    Raises:
        DomainError: it does not say which slice it is about.
    """
    content = message.content
    told = next((place for place in _places(content) if "req_id" in place), None)
    if told is None:
        raise DomainError("slice_result does not say which slice: content.result.result.req_id is missing")
    return SliceReport(
        req_id=_req_id(told["req_id"]),
        good=content.state == "done",
        worker=content.worker_id or content.hostname,
        attempt=_attempt(told),
        seconds=_seconds(content, told),
        found={name: value for name, value in told.items() if name not in SliceContent.model_fields},
        error=_error(content),
    )


def _places(content: SliceOutcome) -> Iterator[dict[str, Any]]:
    """Where the slice may be named, the usual place first."""
    outer = content.result or {}
    if isinstance(inner := outer.get("result"), dict):
        yield inner
    yield outer
    yield content.model_extra or {}


def _req_id(given: object) -> UUID:
    try:
        return UUID(str(given))
    except ValueError:
        raise DomainError(f"slice_result: req_id {str(given)[:100]!r} is no UUID") from None


def _attempt(told: dict[str, Any]) -> int | None:
    attempt = told.get("attempt")
    return attempt if isinstance(attempt, int) else None


def _error(content: SliceOutcome) -> str:
    return str(content.error or (content.result or {}).get("error") or "").strip()


def _seconds(content: SliceOutcome, told: dict[str, Any]) -> float | None:
    """What it took, by the worker's own word or from its times; None if it does not say."""
    taken = _number(told.get("actual_processing_time"))
    begin, end = _time(content.processing_start_at), _time(content.processed_at)
    if taken is None and begin is not None and end is not None:
        taken = end - begin
    return taken if taken is not None and taken >= 0 else None


def _time(given: str | float | None) -> float | None:
    """A time as seconds; the existing system writes a number or ISO 8601."""
    if not isinstance(given, str):
        return _number(given)
    try:
        return datetime.fromisoformat(given).timestamp()
    except ValueError:
        return _number(given)


def _number(given: object) -> float | None:
    try:
        number = float(given)  # type: ignore[arg-type] # it says so if it is none
    except (TypeError, ValueError):
        return None
    return number if isfinite(number) else None
