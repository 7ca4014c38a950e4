"""Choices made once and kept, in small JSON files; safe when two processes choose at once."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

Value = TypeVar("Value", str, int)


def remember(path: Path, key: str, choose: Callable[[Collection[Value]], Value]) -> Value:
    """The value under `key` of the JSON object in `path`; the first time, what `choose` makes of all other values there,
    then kept.

    Raises:
        ValueError: the file is not a JSON object; the text names it, removing it makes all its choices anew.
    """
    value: Value | None = _read(path).get(key)
    if value is not None:
        return value
    with _locked(path):
        kept = _read(path)
        if key not in kept:
            kept[key] = choose(kept.values())
            _write(path, kept)
        chosen: Value = kept[key]
        return chosen


def recall(path: Path, key: str) -> str | int | None:
    """The value under `key` of the JSON object in `path`, None when there is none.

    Raises:
        ValueError: as `remember`.
    """
    value: str | int | None = _read(path).get(key)
    return value


def change(path: Path, key: str, value: str | int) -> None:
    """Remember another value under `key` of the JSON object in `path` from now on.

    Raises:
        ValueError: as `remember`.
    """
    with _locked(path):
        _write(path, {**_read(path), key: value})


def write_private(path: Path, text: str) -> None:
    """Replace a file by `text`, for its owner only (0600); a reader sees the old or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def password(home: Path, name: str) -> str:
    """The random password of `name` (40 hex digits, so that no URL and no SQL needs quoting)."""
    return remember(home / "passwords.json", name, lambda _: secrets.token_hex(20))


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """The only writer of `path`; another one waits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _write(path: Path, kept: dict[str, Any]) -> None:
    write_private(path, json.dumps(kept, indent=1, sort_keys=True) + "\n")


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text()
    except FileNotFoundError:
        return {}
    try:
        kept = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}); remove it to have its values chosen anew") from error
    if not isinstance(kept, dict):
        raise ValueError(f"{path} holds no JSON object; remove it to have its values chosen anew")
    return kept
