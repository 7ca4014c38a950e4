"""What JSON can say and PostgreSQL cannot store, by the field that says it."""

from __future__ import annotations

from math import isfinite
from typing import Any


def unstorable(body: Any) -> Any:
    """What is wrong by field; of a list, by position. Empty if all of it can be stored.

    It is looked for when PostgreSQL has refused the body: most bodies have nothing of this.
    """
    if isinstance(body, list):
        found = [unstorable(row) for row in body]
        return found if any(found) else []
    if not isinstance(body, dict):
        return {}
    return {name: [why] for name, value in body.items() if (why := _why(name) or _why(value))}


def _why(value: Any) -> str:
    if isinstance(value, dict):
        return next((why for pair in value.items() for part in pair if (why := _why(part))), "")
    if isinstance(value, list):
        return next((why for part in value if (why := _why(part))), "")
    if isinstance(value, float) and not isfinite(value):
        return "a number in it is too large"
    return _why_no_text(value) if isinstance(value, str) else ""


def _why_no_text(text: str) -> str:
    if "\x00" in text:
        return "a text in it has the character \\u0000, which cannot be stored"
    if any("\ud800" <= character <= "\udfff" for character in text):
        return "a text in it has half of a surrogate pair, which is no character"
    return ""
