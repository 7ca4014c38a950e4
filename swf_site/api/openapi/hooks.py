"""What the document says beyond the views: the stream, the pages that show it, resources, errors."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from apps.agents.stream.events import LAST_EVENT_ID

from . import problems

Json = dict[str, Any]
# Of which drf-spectacular makes names for enumerations. Ours stay where they are: names would collide.
_ENUM_ID = "x-spec-enum-id"
_STREAM_ERRORS = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.GONE,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.SERVICE_UNAVAILABLE,
)
_STREAM_FILTERS = {
    "msg_types": "Only these types, or kinds, separated by commas.",
    "agents": "Only what these have sent, separated by commas.",
    "run_ids": "Only what concerns these runs, separated by commas.",
    "namespace": "Only what concerns this namespace.",
}
_NO_RESOURCES = {
    "state": "Numbers without gaps, each given out once.",
    "messages": "All messages as they come.",
    "schema": "This document.",
    "root": "Where everything is.",
}


def without_formats(endpoints: list[tuple[str, str, str, Any]]) -> list[tuple[str, str, str, Any]]:
    """Preprocessing: one address each; that formats can be named by a suffix too is for nobody to build on."""
    return [
        endpoint
        for endpoint in endpoints
        if "drf_format" not in endpoint[1] and "{format}" not in endpoint[0]
    ]


def complete(result: Json, generator: Any, request: Any, public: bool) -> Json:  # noqa: FBT001 - its interface
    """Postprocessing: add what no view says."""
    result["paths"] = dict(sorted({**result["paths"], **_stream(result["paths"]), **_pages()}.items()))
    result["tags"] = _tags()
    components = result["components"]
    for name, schema in components["schemas"].items():
        if name.startswith("Paginated"):
            _say_links(schema)
    components["schemas"]["Problem"] = problems.SCHEMA
    components["responses"] = problems.components()
    plain: Json = _plain(result)
    return plain


def _say_links(page: Json) -> None:
    """Null at the ends; the framework says so in the words of OpenAPI 3.0, and with an address of its own."""
    for part in page.get("oneOf", [page]):
        properties = part.get("properties", {})
        for name in {"next", "previous"} & set(properties):
            properties[name] = {"type": ["string", "null"], "format": "uri"}
        if properties:
            part["required"] = list(properties)


def _plain(part: Any) -> Any:
    if isinstance(part, dict):
        if {} in part.get("oneOf", []):
            # Anything, or null: which is anything.
            part = {name: value for name, value in part.items() if name != "oneOf"}
        return {name: _plain(value) for name, value in part.items() if name != _ENUM_ID}
    return [_plain(value) for value in part] if isinstance(part, list) else part


def _stream(paths: Json) -> Json:
    """The message stream, which is no view. Who may read it is who may read runs."""
    parameters = [
        *(
            {"name": name, "in": "query", "description": words, "schema": {"type": "string"}}
            for name, words in _STREAM_FILTERS.items()
        ),
        *(
            {
                "name": name,
                "in": place,
                "description": "The id of the last event seen: the stream goes on after it.",
                "schema": {"type": "string", "pattern": r"^\d{1,18}$"},
            }
            for name, place in (("Last-Event-ID", "header"), (LAST_EVENT_ID, "query"))
        ),
    ]
    operation = {
        "operationId": "messages_stream",
        "description": "What is committed from now on, or after an event, as server-sent events; it does not end. "
        "Every 10 s without an event there is a comment.",
        "parameters": parameters,
        "tags": ["messages"],
        "security": [
            one
            for one in paths["/api/runs/"]["get"]["security"]
            if set(one) <= {"token", "bearer", "cookieAuth"}
        ],
        "responses": {
            "200": {
                "description": "Events until the client leaves.",
                "content": {
                    "text/event-stream": {
                        "schema": {"type": "string"},
                        "example": 'event: stf_ready\nid: 4712\ndata: {"msg_type": "stf_ready", ...}\n\n',
                    }
                },
            },
            **problems.references(_STREAM_ERRORS),
        },
    }
    return {"/api/messages/stream/": {"get": operation}}


def _pages() -> Json:
    """The pages that show this document."""
    return {
        f"/api/{name}/": {
            "get": {
                "operationId": f"{name}_page",
                "description": f"This document, shown by {tool}.",
                "tags": ["schema"],
                "security": [{"cookieAuth": []}, {}],
                "responses": {
                    "200": {
                        "description": "The page.",
                        "content": {"text/html": {"schema": {"type": "string"}}},
                    },
                    "302": {"description": "To the login, if that is needed to read."},
                    "403": {
                        "description": "Whoever asks may not read.",
                        "content": {"text/html": {"schema": {"type": "string"}}},
                    },
                },
            }
        }
        for name, tool in (("docs", "Swagger UI"), ("redoc", "Redoc"))
    }


def _tags() -> list[Json]:
    """All resources in the order of the router, with what their views say."""
    from ..urls import router

    resources = {prefix: str(view.__doc__ or "").strip() for prefix, view, _ in router.registry}
    return [{"name": name, "description": words} for name, words in (resources | _NO_RESOURCES).items()]
