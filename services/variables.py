"""Typed readers of environment variables that fail loudly.

Every reader also accepts `<NAME>_FILE`, the path of a file that holds the value, for secrets. They read this process's
environment, or another mapping when they are given one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


class VariableError(ValueError):
    """A variable is missing or has no meaning; the text names it."""


def text(name: str, default: str | None = None, variables: Mapping[str, str] = os.environ) -> str:
    """The variable as text; `VariableError` when it is unset and has no default."""
    if path := variables.get(f"{name}_FILE"):
        try:
            return Path(path).read_text().strip()
        except OSError as error:
            raise VariableError(f"{name}_FILE={path!r} cannot be read: {error.strerror}") from error
    value = variables.get(name, default)
    if value is None:
        raise VariableError(f"{name} is not set. Start through ./swf-testbed, or set it.")
    return value


def flag(name: str, *, default: bool, variables: Mapping[str, str] = os.environ) -> bool:
    """The variable as a truth value: 1/true/yes/on or 0/false/no/off."""
    value = text(name, str(default), variables).lower()
    if value in {"1", "true", "yes", "on"}:
        return True
    if value in {"0", "false", "no", "off", ""}:
        return False
    raise VariableError(f"{name}={value!r} is neither true nor false")


def number(name: str, default: int, variables: Mapping[str, str] = os.environ) -> int:
    """The variable as a whole number."""
    value = text(name, str(default), variables)
    try:
        return int(value)
    except ValueError:
        raise VariableError(f"{name}={value!r} is not a whole number") from None


def words(name: str, default: str = "", variables: Mapping[str, str] = os.environ) -> list[str]:
    """The variable as a comma-separated list, blanks dropped."""
    return [word.strip() for word in text(name, default, variables).split(",") if word.strip()]
