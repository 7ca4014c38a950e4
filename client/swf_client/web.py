"""What an HTTP request comes to, without retries: an answer, or one of two errors."""

from __future__ import annotations

import http.client
import json
import random
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import datetime, timezone
from email.message import Message
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from .errors import Away, Refused

RETRY_FIRST_SECONDS = 0.5
RETRY_MOST_SECONDS = 15.0
ASK_AGAIN = frozenset({429, 502, 503, 504})
_DETAIL_LIMIT = 100_000


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: a POST would become a GET, and the token would go to another server."""

    def redirect_request(self, *_: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_Stay)


def base_of(url: str) -> str:
    """The address of a testbed, without a slash in the end.

    Raises:
        Refused: it is none.
    """
    refused = Refused(f"{url!r} is no address of a testbed: http://host:port")
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise refused
    try:
        _ = parts.port
    except ValueError:
        raise refused from None
    return url.rstrip("/")


def ask(request: urllib.request.Request, *, token: str, timeout: float) -> http.client.HTTPResponse:
    """The answer, whose body is still to be read, over a connection of its own.

    Args:
        timeout: seconds of silence after which the testbed counts as away.

    Raises:
        Refused: asking again is of no use.
        Away: it may be.
    """
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        answer: http.client.HTTPResponse = _OPENER.open(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        with error:
            said = _body_of(error)
        raise refusal(error.code, error.reason, error.headers, said) from error
    except (OSError, http.client.HTTPException) as error:
        raise Away(words(error, timeout)) from error
    return answer


def words(error: Exception, timeout: float) -> str:
    """Why a connection failed."""
    reason = getattr(error, "reason", error)
    if isinstance(reason, TimeoutError) or "timed out" in str(reason):
        return f"the testbed has said nothing for {timeout:.0f} s"
    return str(reason) or type(reason).__name__


def pauses() -> Iterator[float]:
    """Seconds to wait before the second attempt, the third, ...: from 0.5 s to 15 s, not the same for everybody."""
    longest = RETRY_FIRST_SECONDS
    while True:
        yield longest * random.uniform(0.5, 1)  # noqa: S311
        longest = min(2 * longest, RETRY_MOST_SECONDS)


def refusal(status: int, reason: str, headers: Message, body: bytes) -> Refused | Away:
    """The error that an answer from 300 on is."""
    detail, errors = _problem(body)
    detail = detail or f"the testbed answers {status} {reason}"
    if status in ASK_AGAIN:
        return Away(detail, retry_after=_seconds(headers.get("Retry-After", "")))
    if 300 <= status < 400:
        detail = f"the testbed has moved to {headers.get('Location', 'another address')}: use that one"
    return Refused(detail, status=status, errors=errors)


def _body_of(error: urllib.error.HTTPError) -> bytes:
    try:
        return error.read(_DETAIL_LIMIT)
    except (OSError, http.client.HTTPException):
        return b""


def _problem(body: bytes) -> tuple[str, dict[str, Any]]:
    """What the problem document says: the detail with the reasons by field, and these alone; nothing if it is none."""
    try:
        said = json.loads(body)
        detail, errors = str(said["detail"]), said.get("errors")
    except (ValueError, KeyError, TypeError, AttributeError):
        return "", {}
    if not isinstance(errors, dict):
        return detail, {}
    return "; ".join([detail, *(f"{name}: {_joined(reasons)}" for name, reasons in errors.items())]), errors


def _joined(reasons: Any) -> str:
    return " ".join(map(str, reasons)) if isinstance(reasons, list) else str(reasons)


def _seconds(retry_after: str) -> float:
    """The header `Retry-After`, which is a number of seconds or a date; 0 where it is neither."""
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        pass
    try:
        left = parsedate_to_datetime(retry_after) - datetime.now(timezone.utc)
    except (TypeError, ValueError):
        return 0.0
    return max(0.0, left.total_seconds())
