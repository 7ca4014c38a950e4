"""One form for all errors of the REST interface: problem details, RFC 9457."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.db import DataError
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.response import Response
from rest_framework.views import exception_handler

from apps.runs.errors import BelongsToAnother, DomainError, FieldRefused, NotFound

from .negotiation import FormatNotOffered
from .unstorable import unstorable

CONTENT_TYPE = "application/problem+json"
# Of errors of the domain; of all others, that what is there does not allow it.
_STATUSES = {NotFound: HTTPStatus.NOT_FOUND, BelongsToAnother: HTTPStatus.FORBIDDEN}


def problem_response(error: Exception, context: dict[str, Any]) -> Response | None:
    """The error as `application/problem+json`; None for a bug, which Django then answers and logs."""
    if isinstance(error, FieldRefused):
        return _problem(HTTPStatus.CONFLICT, str(error), errors={error.field: [error.why]})
    if isinstance(error, DomainError):
        return _problem(_STATUSES.get(type(error), HTTPStatus.CONFLICT), str(error))
    if isinstance(error, DataError | UnicodeEncodeError):
        # Of all requests: numbers beyond their columns, characters that no text may have.
        found = unstorable(_body(context))
        said = "some values cannot be stored" if found else f"a value cannot be stored: {_first_line(error)}"
        return _problem(HTTPStatus.BAD_REQUEST, said, **({"errors": found} if found else {}))
    if isinstance(error, RequestDataTooBig):
        return _problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, too_large())
    response = exception_handler(error, context)
    if response is None:
        return None
    status = HTTPStatus(response.status_code)
    headers = dict(response.items())
    if isinstance(error, ValidationError):
        return _problem(status, "some values were not accepted", headers, errors=response.data)
    said = str(getattr(error, "detail", error))
    if isinstance(error, FormatNotOffered):
        return _problem(status, f"format: {said}", headers, errors={"format": [said]})
    return _problem(status, said, headers)


def problem(status: HTTPStatus, detail: str, **more: Any) -> dict[str, Any]:
    """The body of a problem document."""
    return {"type": "about:blank", "title": status.phrase, "status": status.value, "detail": detail, **more}


def _body(context: dict[str, Any]) -> Any:
    """What was sent; None if it cannot be read, which nobody has tried yet."""
    try:
        return context["request"].data
    except APIException:
        return None


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]


def too_large() -> str:
    """What a request is told whose body is too long."""
    most = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    return f"the body has more than {most} bytes: send less at once, a list in several parts"


def _problem(status: HTTPStatus, detail: str, headers: dict[str, str] | None = None, **more: Any) -> Response:
    body = problem(status, detail, **more)
    return Response(body, status=status.value, headers=headers, content_type=CONTENT_TYPE)
