"""The schema: made without a warning, of every address, with examples that it allows itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
import yaml
from django.test import Client
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.validation import validate_schema

from swf_site import matrix
from swf_site.api.openapi.examples import EXAMPLES
from swf_site.api.openapi.views import document
from tests.rest import Agent

JSON = "application/json"


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return document()


def operations(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Operations by method and address."""
    for address, methods in schema["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {address}", operation


def examples(schema: dict[str, Any]) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """Where each example is, its value, and the schema that it is an example of."""
    answers = [
        (f"{name} {status}", answer)
        for name, operation in operations(schema)
        for status, answer in operation["responses"].items()
        if "$ref" not in answer
    ]
    bodies = [(name, operation.get("requestBody", {})) for name, operation in operations(schema)]
    for name, said in [*answers, *bodies, *schema["components"]["responses"].items()]:
        for media_type, content in said.get("content", {}).items():
            given = [example["value"] for example in content.get("examples", {}).values()]
            for value in given + ([content["example"]] if "example" in content else []):
                yield f"{name} {media_type}", value, content["schema"]


def test_it_is_made_without_a_warning() -> None:
    """What a view does not say is said in `extend_schema`: the warning names the view."""
    GENERATOR_STATS.reset()

    made = SchemaGenerator().get_schema(public=True)

    assert not GENERATOR_STATS, GENERATOR_STATS.emit_summary()
    validate_schema(made)


def test_every_address_and_method_is_in_it_and_no_other(schema: dict[str, Any]) -> None:
    asked = {
        f"{row.method} {re.sub(r'<(?:pk|(.+?))>', lambda name: '{%s}' % (name[1] or 'id'), row.address)}"
        for row in matrix.rows()
        if row.address.startswith("/api/")
    }

    assert {name for name, _ in operations(schema)} == asked


def test_every_operation_is_told_apart_and_described(schema: dict[str, Any]) -> None:
    found = dict(operations(schema))
    tags = {tag["name"] for tag in schema["tags"]}

    assert len({operation["operationId"] for operation in found.values()}) == len(found)
    assert not [name for name, operation in found.items() if not operation["description"]]
    assert {tag for operation in found.values() for tag in operation["tags"]} == tags


def test_changes_are_for_nobody_unknown(schema: dict[str, Any]) -> None:
    for name, operation in operations(schema):
        kinds = {kind for one in operation["security"] for kind in one}
        if not name.startswith("GET"):
            assert kinds == {"bearer", "token", "cookieAuth", "basicAuth"}, name
            assert {} not in operation["security"], name


def test_reading_is_for_everybody_where_it_is(settings: Any) -> None:
    for for_anybody in (True, False):
        settings.SWF_ANONYMOUS_READ = for_anybody
        security = document()["paths"]["/api/runs/"]["get"]["security"]
        assert ({} in security) == for_anybody


def test_every_example_is_what_it_is_an_example_of(schema: dict[str, Any]) -> None:
    found = [one for one in examples(schema) if JSON in one[0] or "problem+json" in one[0]]
    assert len(found) > 15

    for name, value, kind in found:
        held = {**kind, "components": schema["components"]}
        try:
            jsonschema.Draft202012Validator(held, format_checker=jsonschema.FormatChecker()).validate(value)
        except jsonschema.ValidationError as error:
            pytest.fail(f"{name}: {error}")


def test_every_body_has_an_example(schema: dict[str, Any]) -> None:
    bodies = {
        address: operation["requestBody"]["content"][JSON]
        for address, operation in operations(schema)
        if JSON in operation.get("requestBody", {}).get("content", {})
    }
    assert len(bodies) > 40
    assert not {address for address, body in bodies.items() if not body.get("examples")}


def test_every_example_is_of_an_operation(schema: dict[str, Any]) -> None:
    assert set(EXAMPLES) <= {operation["operationId"] for _, operation in operations(schema)}


def test_headers_are_where_they_count(schema: dict[str, Any]) -> None:
    found = dict(operations(schema))

    def parameters(name: str) -> set[str]:
        return {one["name"] for one in found[name]["parameters"]}

    assert "Idempotency-Key" in parameters("POST /api/runs/")
    assert "If-Match" in parameters("PATCH /api/runs/{run_number}/")
    assert {"412", "428"} <= set(found["PATCH /api/runs/{run_number}/"]["responses"])
    assert "428" not in found["PATCH /api/run-states/{run_number}/"]["responses"]
    assert "ETag" in found["GET /api/runs/{run_number}/"]["responses"]["200"]["headers"]
    assert {"cursor", "limit", "format"} <= parameters("GET /api/journal/")
    assert "ordering" not in parameters("GET /api/journal/")
    assert set(found["GET /api/runs/"]["responses"]["200"]["content"]) == {JSON, "text/csv"}


@pytest.mark.django_db
def test_it_is_served_as_json_and_as_yaml(agent: Agent) -> None:
    as_json, as_yaml = (agent.ask("GET", f"schema/{query}") for query in ("", "?format=yaml"))

    assert as_json["Content-Type"] == JSON
    assert as_yaml["Content-Type"].startswith("application/yaml")
    assert yaml.load(as_yaml.content, Loader=yaml.CSafeLoader) == as_json.json()  # type: ignore[attr-defined]


@pytest.mark.django_db
def test_it_is_for_those_who_may_read(settings: Any) -> None:
    settings.SWF_ANONYMOUS_READ = False
    answers = {name: Client().get(f"/api/{name}/") for name in ("schema", "docs", "redoc")}
    refused = Client().get("/api/schema/?format=yaml")

    assert {name: answer.status_code for name, answer in answers.items()} == {
        "schema": 401,
        "docs": 302,
        "redoc": 302,
    }
    assert refused["Content-Type"] == "application/problem+json"
    assert refused.json()["status"] == 401


@pytest.mark.django_db
def test_the_root_leads_to_it(agent: Agent) -> None:
    root = agent.get("")

    assert {"runs", "schema", "docs", "redoc"} <= set(root)
    assert {Client().get(address).status_code for address in root.values()} == {200}


@pytest.mark.django_db
def test_what_is_not_there_is_a_problem_too() -> None:
    answer = Client().get("/api/no-such-list/")

    assert answer.status_code == 404
    assert answer["Content-Type"] == "application/problem+json"


@pytest.mark.django_db
def test_bodies_are_json(agent: Agent) -> None:
    answer = agent.client.post("/api/namespaces/ensure/", {"name": "here"})

    assert answer.status_code == 415
    assert answer["Content-Type"] == "application/problem+json"
