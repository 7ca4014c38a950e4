"""Every address, and who may ask it what: read off the routes, and decided as for a request."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.contrib.admindocs.views import simplify_regex
from django.urls import URLPattern, URLResolver, get_resolver
from django.urls.resolvers import RoutePattern
from django.views.generic import RedirectView, View

from apps.runs.access import EVERYWHERE, NO_NAMESPACE, Person, Right, Role, refusal

from .api.namespaces import PATHS
from .rights import CHANGES, change_of

HERE, ELSEWHERE = "here", "elsewhere"
SAFE = ("GET",)


def _person(role: Role, namespace: str, **limits: Any) -> Person:
    return Person(role.value, frozenset({role}), frozenset({namespace}), **limits)


# By the heading of their column. Reading is for everybody in the first alone.
COLUMNS: dict[str, Person] = {
    "anybody, reading is on": Person(anybody_reads=True),
    "anybody, reading is off": Person(),
    "viewer": _person(Role.VIEWER, HERE),
    "agent": _person(Role.AGENT, HERE),
    "operator": _person(Role.OPERATOR, HERE),
    "operator elsewhere": _person(Role.OPERATOR, ELSEWHERE),
    "operator of all": _person(Role.OPERATOR, EVERYWHERE),
    "admin": _person(Role.ADMIN, HERE),
    "read-only token": _person(Role.ADMIN, HERE, scopes=frozenset({"read"})),
}
PROGRAM = "read-only token"


@dataclass(frozen=True, slots=True)
class Row:
    """One method of one address. Without a `right` it is for everybody; its place is a namespace, or none."""

    address: str
    method: str
    route: str
    right: Right | None
    place: str
    takes_tokens: bool

    def allows(self, column: str) -> bool:
        """Whether those of the column may do it."""
        person = COLUMNS[column]
        if self.right is None:
            return True
        if column == PROGRAM and not self.takes_tokens:
            # Pages know sessions only.
            person = Person()
        return not refusal(person, self.right, [self.place])


def rows() -> list[Row]:
    """All of them: pages first, then REST, the streams and the admin."""
    found = [row for route in _routes(get_resolver().url_patterns) for row in _rows_of(*route)]
    streams = [
        Row(address, "GET", name, Right.READ, HERE, takes_tokens=True)
        for address, name in (("/api/messages/stream/", "stream"), ("/ws/...", "websocket"))
    ]
    admin = [
        Row("/admin/...", method, "admin", Right.ADMINISTER, NO_NAMESPACE, takes_tokens=False)
        for method in ("GET", "POST")
    ]
    return [*sorted(found, key=lambda row: (row.takes_tokens, row.address, row.method)), *streams, *admin]


def unclassified() -> list[str]:
    """Routes that change something and are not named in `rights`."""
    return sorted({row.route for row in rows() if row.right is Right.ADMINISTER and row.route != "admin"})


def unused() -> list[str]:
    """Names in `rights` that no route has."""
    return sorted(set(CHANGES) - {row.route for row in rows()})


def table() -> str:
    """All of it in Markdown."""
    lines = [
        "| address | method | " + " | ".join(COLUMNS) + " |",
        "|---|---|" + ":---:|" * len(COLUMNS),
        *(
            f"| `{row.address}` | {row.method} | "
            + " | ".join("yes" if row.allows(column) else "-" for column in COLUMNS)
            + " |"
            for row in rows()
        ),
    ]
    return "\n".join(lines) + "\n"


def _routes(patterns: list[URLPattern | URLResolver], before: str = "") -> Iterator[tuple[str, URLPattern]]:
    """Addresses with their patterns; those of the admin and of other formats left out."""
    for pattern in patterns:
        address = before + _readable(pattern)
        if isinstance(pattern, URLPattern):
            if "<format>" not in address and "drf_format" not in address:
                yield address, pattern
        elif pattern.namespace != "admin":
            yield from _routes(pattern.url_patterns, address)


def _readable(pattern: URLPattern | URLResolver) -> str:
    text = str(pattern.pattern)
    if isinstance(pattern.pattern, RoutePattern):
        return re.sub(r"<\w+:(\w+)>", r"<\1>", text)
    return str(simplify_regex(text)).removeprefix("/")


def _rows_of(address: str, pattern: URLPattern) -> Iterator[Row]:
    view: Any = pattern.callback
    name = pattern.name or ""
    rest = hasattr(view, "cls")
    is_open = not rest and not getattr(view, "login_required", True)
    for method in _methods(view, name):
        right = Right.READ if method in SAFE else change_of(name)
        place = HERE if _is_of_a_namespace(view, address, right) else NO_NAMESPACE
        yield Row(f"/{address}", method, name, None if is_open else right, place, takes_tokens=rest)


def _methods(view: Any, name: str) -> list[str]:
    """Which methods the view takes."""
    if hasattr(view, "actions"):
        return [method.upper() for method in view.actions if method != "head"]
    if rest := getattr(view, "cls", None):
        return [name.upper() for name in View.http_method_names[:5] if hasattr(rest, name)]
    if page := getattr(view, "view_class", None):
        known = {"get"} if issubclass(page, RedirectView) else {"get", "post"}
        return [name.upper() for name in sorted(known & set(page.http_method_names))]
    return ["POST"] if name in CHANGES else ["GET"]


def _is_of_a_namespace(view: Any, address: str, right: Right) -> bool:
    kind = getattr(view, "cls", None)
    model = getattr(getattr(kind, "queryset", None), "model", None)
    detail = getattr(view, "initkwargs", {}).get("detail")
    return (
        "<run_number>" in address
        or getattr(kind, "in_named_namespace", False)
        or (model in PATHS and (bool(detail) or right in (Right.READ, Right.REPORT)))
    )
