"""The documents of the bus say what the code says."""

from __future__ import annotations

import json

import jsonschema
import pytest
from django.conf import settings

from apps.agents.bus.document import documents
from apps.agents.registry import AGENTS, agent_spec

DIRECTORY = settings.BASE_DIR / "docs" / "messages"
DOCUMENTS = dict(documents([agent_spec(name) for name in AGENTS]))


@pytest.mark.parametrize("name", sorted(DOCUMENTS))
def test_the_document_in_the_repository_is_current(name: str) -> None:
    assert (DIRECTORY / name).read_text() == DOCUMENTS[name], (
        "run `manage.py write_schemas` and commit docs/messages"
    )


def test_no_document_is_left_over() -> None:
    assert {path.name for path in DIRECTORY.iterdir()} == set(DOCUMENTS)


@pytest.mark.parametrize("name", sorted(name for name in DOCUMENTS if name.endswith(".json")))
def test_every_schema_is_a_valid_schema(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(DOCUMENTS[name]))
