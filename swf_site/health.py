"""`/healthz`: the process answers. `/readyz`: everything the pages need is there, or what is not and why."""

from __future__ import annotations

from collections.abc import Callable

from django.db import Error as DatabaseError
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone

from apps.runs.live.feed import RELAY_IS_LATE, feed
from apps.runs.live.listen import database_away
from apps.runs.selectors import unsequenced_since


def healthz(request: HttpRequest) -> HttpResponse:
    """200 as long as the process serves requests."""
    return JsonResponse({"status": "ok"})


def readyz(request: HttpRequest) -> HttpResponse:
    """200 when every check passes, otherwise 503; either way one reason per check, "" where all is well."""
    reasons = {name: _reason(check) for name, check in CHECKS.items()}
    ready = not any(reasons.values())
    return JsonResponse(
        {"status": "ready" if ready else "not ready", "checks": reasons}, status=200 if ready else 503
    )


def _reason(check: Callable[[], str]) -> str:
    try:
        return check()
    except DatabaseError as error:
        return database_away(error)


def _database() -> str:
    connection.ensure_connection()
    return ""


def _migrations() -> str:
    executor = MigrationExecutor(connection)
    open_steps = executor.migration_plan(executor.loader.graph.leaf_nodes())
    names = ", ".join(f"{step.app_label}.{step.name}" for step, _ in open_steps)
    return f"not applied: {names}; run manage.py migrate" if names else ""


def _listener() -> str:
    if not feed.listener.is_alive():
        return "the thread that feeds the live pages does not run: restart the web process"
    return feed.listener.waiting_for


def _relay() -> str:
    oldest = unsequenced_since()
    late = timezone.now() - oldest if oldest else None
    if late is None or late < RELAY_IS_LATE:
        return ""
    return (
        f"journal entries wait for {late.total_seconds():.0f} s: is the relay up? ./swf-testbed status-local"
    )


CHECKS: dict[str, Callable[[], str]] = {
    "database": _database,
    "migrations": _migrations,
    "listener": _listener,
    "relay": _relay,
}
