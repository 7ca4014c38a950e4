"""Errors in the document: one schema of problem documents, and one response of each status, which operations refer to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from ..errors import CONTENT_TYPE, problem

Json = dict[str, Any]

_AGAIN = {"Retry-After": {"description": "Ask again after so many seconds.", "schema": {"type": "integer"}}}
_BRING = {"WWW-Authenticate": {"description": "What to bring.", "schema": {"type": "string"}}}

# By status: the name of the response, what it means, and its headers.
_RESPONSES: Mapping[HTTPStatus, tuple[str, str, Json]] = {
    HTTPStatus.BAD_REQUEST: ("BadRequest", "A value is missing, unknown, or has the wrong form.", {}),
    HTTPStatus.UNAUTHORIZED: ("Unauthorized", "It is not known who asks, or a token is not good.", _BRING),
    HTTPStatus.FORBIDDEN: ("Forbidden", "Whoever asks may not do this; the text says what it takes.", {}),
    HTTPStatus.NOT_FOUND: ("NotFound", "There is nothing at this address.", {}),
    HTTPStatus.NOT_ACCEPTABLE: ("NotAcceptable", "It does not come in the media type of `Accept`.", {}),
    HTTPStatus.CONFLICT: ("Conflict", "What is there does not allow it.", {}),
    HTTPStatus.GONE: ("Gone", "What was asked for is no longer kept here.", {}),
    HTTPStatus.PRECONDITION_FAILED: (
        "PreconditionFailed",
        "It has changed since the `ETag` in `If-Match`.",
        {},
    ),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: ("TooLarge", "The body has more bytes than the text says.", {}),
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: ("UnsupportedMediaType", "The body is not JSON.", {}),
    HTTPStatus.UNPROCESSABLE_ENTITY: (
        "KeyUsedBefore",
        "The `Idempotency-Key` was used for another address or body.",
        {},
    ),
    HTTPStatus.PRECONDITION_REQUIRED: ("PreconditionRequired", "This change needs `If-Match`.", {}),
    HTTPStatus.TOO_MANY_REQUESTS: ("TooManyRequests", "This client asks too often.", _AGAIN),
    HTTPStatus.SERVICE_UNAVAILABLE: ("Unavailable", "The database does not answer.", _AGAIN),
}

SCHEMA: Json = {
    "type": "object",
    "description": "A problem document (RFC 9457).",
    "properties": {
        "type": {
            "type": "string",
            "description": "Always `about:blank`: the status says which problem it is.",
        },
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What is wrong, for a person to read."},
        "errors": {
            "description": "What is wrong by field; of a list in the body, by position.",
            "oneOf": [{"type": "object", "additionalProperties": {}}, {"type": "array", "items": {}}],
        },
    },
    "required": ["type", "title", "status", "detail"],
}

_EXAMPLES: Mapping[HTTPStatus, Json] = {
    HTTPStatus.BAD_REQUEST: problem(
        HTTPStatus.BAD_REQUEST,
        "some values were not accepted",
        errors={"stf_filename": ["This field is required."]},
    ),
    HTTPStatus.CONFLICT: problem(
        HTTPStatus.CONFLICT,
        "version: stf_datataking 1.0 is known with other content",
        errors={"version": ["stf_datataking 1.0 is known with other content"]},
    ),
}


def references(statuses: Iterable[HTTPStatus]) -> Json:
    """Responses of an operation that refer to those of these statuses."""
    return {
        str(status.value): {"$ref": f"#/components/responses/{_RESPONSES[status][0]}"}
        for status in sorted(statuses)
    }


def components() -> Json:
    """The responses of all statuses, by name."""
    return {name: _response(status) for status, (name, _, _) in _RESPONSES.items()}


def _response(status: HTTPStatus) -> Json:
    _, description, headers = _RESPONSES[status]
    content: Json = {"schema": {"$ref": "#/components/schemas/Problem"}}
    if status in _EXAMPLES:
        content["example"] = _EXAMPLES[status]
    response: Json = {"description": description, "content": {CONTENT_TYPE: content}}
    return {**response, "headers": headers} if headers else response
