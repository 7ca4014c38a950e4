"""Requests made up from the schema of the REST interface, asked in process, their answers held to the schema."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import requests
import schemathesis
from django.db import transaction
from django.test import Client
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.core.transport import Response
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from swf_site.api.openapi.views import document

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
# Never ends.
STREAM = "/api/messages/stream/"
SERVER = "http://testserver"


def operations() -> Iterator[Any]:
    """All operations of the schema but the stream."""
    schema = schemathesis.openapi.from_dict(document())
    for found in schema.get_all_operations():
        operation = found.ok()
        if operation.path != STREAM:
            yield operation


def ask(operation: Any, client: Client, known: Mapping[str, Any], *, examples: int) -> list[str]:
    """Ask for the operation as this client, and take back what that changes.

    Args:
        known: values that name what is there, by the names of parameters and fields: each request has some of them.

    Returns:
        what is wrong with the first answer that is not as the schema says; empty if all are.
    """
    wrong: list[str] = []

    @settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=_cases(operation), some=st.lists(st.booleans(), min_size=8, max_size=8))
    def try_it(case: Case, some: list[bool]) -> None:
        if wrong:
            return
        _name(case, known, some)
        with transaction.atomic():
            answer = _answer(case, client)
            transaction.set_rollback(True)
        try:
            case.validate_response(answer, checks=CHECKS)
        except FailureGroup as error:
            wrong.append(f"{operation.method.upper()} {operation.path}: {error}")

    try_it()
    return wrong


def _cases(operation: Any) -> Any:
    """Good requests, and bad ones where there is something to get wrong."""
    good = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
    if not (operation.body or list(operation.iter_parameters())):
        return good
    return good | operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)


def _name(case: Case, known: Mapping[str, Any], some: list[bool]) -> None:
    """Put in names of what is there."""
    chosen = iter(some * 8)
    resource = case.path.removeprefix("/api/").split("/")[0]
    for name in case.path_parameters or {}:
        if (value := known.get(f"{resource}.{name}", known.get(name))) is not None and next(chosen):
            case.path_parameters[name] = value
    rows = case.body if isinstance(case.body, list) else [case.body]
    for row in rows[:2]:
        for name in row if isinstance(row, dict) else ():
            if name in known and next(chosen):
                row[name] = known[name]


def _answer(case: Case, client: Client) -> Response:
    """What Django answers, without a socket."""
    request = requests.Request(**_plain(case.as_transport_kwargs(base_url=SERVER))).prepare()
    # Who asks is for the client to say.
    ours = {"content-length", "cookie"} | ({"authorization"} if client.cookies else set())
    headers = {name: str(value) for name, value in request.headers.items() if name.lower() not in ours}
    answer = client.generic(
        request.method or "GET",
        request.path_url,
        data=request.body or b"",
        content_type=headers.pop("Content-Type", "application/json"),
        headers=headers,
    )
    body = b"".join(answer.streaming_content) if answer.streaming else answer.content  # type: ignore[attr-defined]
    return Response(
        status_code=answer.status_code,
        headers={name: [value] for name, value in answer.headers.items()},
        content=body,
        request=request,
        elapsed=0.0,
        verify=False,
    )


def _plain(said: dict[str, Any]) -> dict[str, Any]:
    """Without what only a connection needs."""
    fields = {"method", "url", "headers", "files", "data", "params", "auth", "cookies", "json"}
    return {name: value for name, value in said.items() if name in fields}
