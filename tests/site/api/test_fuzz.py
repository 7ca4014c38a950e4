"""Whatever is asked, by whom ever: the answer is one that the schema knows, and never a bug."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from django.db import transaction
from django.test import Client

from tests.fuzz import ask, operations
from tests.site.test_permissions import World, world

__all__ = ["world"]

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("exit_buffer")]

ROLES = ("anybody, reading is on", "anybody, reading is off", "viewer", "agent", "operator", "admin")
# Whatever it is a value of, it must be refused, or do no harm.
JUNK = (
    "\0",
    "9" * 5000,
    "99999999999999999999999",
    "-1",
    "1e999",
    "1e999999999",
    "NaN",
    "\u0663",
    "\ufffe",
    "{}",
    "cD14",
    "!!!!",
    "../..",
    " ",
)
BODIES = (
    '{"a":' * 1500 + "1" + "}" * 1500,
    "[" * 100_000,
    '{"run_number": 7, "stf_filename": "\\u0000", "run_conditions": {"a": "\\ud800"}}',
    '{"name": "a", "metadata": {"a": "\\u0000"}, "extra_data": 1e999, "worker_id": "\\u0000"}',
    "9" * 5000,
    "null",
    "[null]",
    "[[]]",
    '"text"',
    "\ufeff{}",
    "{",
)


def named(world: World) -> dict[str, Any]:
    """What is there, by the names of parameters and fields."""
    run = world.run
    return {
        **world.values,
        "run": run.run_number,
        "run_id": run.run_number,
        "stf_file": world.values["stf_filename"],
        "processing-tasks.id": world.values["processing-task"],
        "tf-slices.id": world.values["tf-slice"],
        "incidents.id": world.values["incident"],
        "dead-letters.id": world.values["dead-letter"],
        "namespace": run.namespace.name,
        "namespaces.name": run.namespace.name,
    }


@pytest.mark.parametrize("role", ROLES)
def test_every_answer_is_as_the_schema_says(
    world: World, settings: Any, pytestconfig: pytest.Config, role: str
) -> None:
    settings.SWF_ANONYMOUS_READ = role == ROLES[0]
    client, _ = world.clients[role]
    client.raise_request_exception = False
    known = named(world)
    # Those who may do little are refused whatever they say.
    many: int = pytestconfig.getoption("fuzz_examples")
    examples = many if role in ("agent", "operator", "admin") else max(1, many // 3)

    wrong = [line for operation in operations() for line in ask(operation, client, known, examples=examples)]

    assert not wrong, "\n\n".join(wrong)


def test_no_junk_is_a_bug(world: World) -> None:
    """As each parameter, as each name in an address, and as a body."""
    client, _ = world.clients["admin"]
    client.raise_request_exception = False
    known = named(world)

    wrong = [
        f"{operation.method.upper()} {address[:100]} {body[:100]!r}: {status}"
        for operation in operations()
        for address, body in _junk(operation, known)
        if (status := _status(client, operation.method, address, body)) not in _known_statuses(operation)
    ]

    assert not wrong, "\n".join(wrong)


def _junk(operation: Any, known: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Addresses and bodies."""
    resource = operation.path.removeprefix("/api/").split("/")[0]
    names = re.findall(r"{(\w+)}", operation.path)
    values = {name: known.get(f"{resource}.{name}", known.get(name, 1)) for name in names}
    address = operation.path.format(**values)
    for name in names:
        for junk in JUNK:
            yield operation.path.format(**{**values, name: quote(junk, safe="")}), "{}"
    for parameter in operation.query:
        for junk in JUNK:
            yield f"{address}?{parameter.name}={quote(junk)}", ""
    if operation.method in ("post", "patch", "put"):
        yield from ((address, body) for body in BODIES)


def _status(client: Client, method: str, address: str, body: str) -> int:
    with transaction.atomic():
        answer = client.generic(method.upper(), address, body, "application/json")
        transaction.set_rollback(True)
    return answer.status_code


def _known_statuses(operation: Any) -> set[int]:
    return {int(status) for status in operation.definition.raw["responses"]}
