"""The readers of `services.variables` as Django's settings need them: what is wrong is `ImproperlyConfigured`."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar
from urllib.parse import unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

from services import variables

# Those of `apps.runs.access`, which needs the settings itself.
ROLES = ("viewer", "agent", "operator", "admin")

Arguments = ParamSpec("Arguments")
Value = TypeVar("Value")


def configured(reader: Callable[Arguments, Value]) -> Callable[Arguments, Value]:
    """The reader with Django's own error, which its commands know."""

    @wraps(reader)
    def read(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Value:
        try:
            return reader(*args, **kwargs)
        except variables.VariableError as error:
            raise ImproperlyConfigured(str(error)) from error

    return read


text = configured(variables.text)
flag = configured(variables.flag)
words = configured(variables.words)
number = configured(variables.number)


def rate(name: str, default: str) -> str:
    """The variable as a number of requests per time, `600/minute`; empty for no limit.

    Raises:
        ImproperlyConfigured: it is something else.
    """
    value = text(name, default)
    if value and not re.fullmatch(r"[1-9]\d*/(second|minute|hour|day)", value):
        raise ImproperlyConfigured(f"{name}={value!r} is no rate: say 20/second, 600/minute, or nothing")
    return value


def roles(name: str) -> dict[str, list[tuple[str, str]]]:
    """The variable as roles with a namespace each, by the group that they come from:
    `shifters=operator:local, shifters=agent:*, epic=viewer`.

    Raises:
        ImproperlyConfigured: it is something else.
    """
    given: dict[str, list[tuple[str, str]]] = {}
    for word in words(name):
        group, _, access = word.rpartition("=")
        role, _, namespace = access.partition(":")
        if not group or role not in ROLES:
            raise ImproperlyConfigured(
                f"{name}: {word!r} is not GROUP=ROLE or GROUP=ROLE:NAMESPACE; roles are {', '.join(ROLES)}"
            )
        given.setdefault(group, []).append((role, namespace))
    return given


def database(url: str) -> dict[str, object]:
    """Django's connection settings for a `postgresql://user:password@host:port/name` URL."""
    parts = urlsplit(url)
    if parts.scheme not in {"postgresql", "postgres"}:
        raise ImproperlyConfigured(
            f"DATABASE_URL has the scheme {parts.scheme!r}: only postgresql:// is supported, "
            "the journal and the live pages stand on LISTEN/NOTIFY"
        )
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname or "",
        "PORT": str(parts.port or ""),
    }
