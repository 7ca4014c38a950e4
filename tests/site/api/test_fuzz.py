"""Whatever is asked, by whom ever: the answer is one that the schema knows, and never a bug."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fuzz import ask, operations
from tests.site.test_permissions import World, world

__all__ = ["world"]

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("exit_buffer")]

ROLES = ("anybody, reading is on", "anybody, reading is off", "viewer", "agent", "operator", "admin")


@pytest.mark.parametrize("role", ROLES)
def test_every_answer_is_as_the_schema_says(
    world: World, settings: Any, pytestconfig: pytest.Config, role: str
) -> None:
    settings.SWF_ANONYMOUS_READ = role == ROLES[0]
    client, _ = world.clients[role]
    client.raise_request_exception = False
    run = world.run
    known = {
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
    # Those who may do little are refused whatever they say.
    many: int = pytestconfig.getoption("fuzz_examples")
    examples = many if role in ("agent", "operator", "admin") else max(1, many // 3)

    wrong = [line for operation in operations() for line in ask(operation, client, known, examples=examples)]

    assert not wrong, "\n\n".join(wrong)
