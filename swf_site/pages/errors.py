"""What is shown when there is nothing to show."""

from __future__ import annotations

import sys
from http import HTTPStatus

from django.conf import settings
from django.core.exceptions import DisallowedHost, RequestDataTooBig, TooManyFieldsSent
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseServerError, JsonResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.views import defaults

from apps.runs.access import Right, refusal
from apps.runs.live.listen import database_away
from apps.runs.people import person_of
from swf_site.api.errors import CONTENT_TYPE, problem, too_large

_RETRY_AFTER_SECONDS = 2
_REST = "/api/"


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """400: what Django itself refuses, before there is a view or for all of them."""
    if not request.path.startswith(_REST):
        return defaults.bad_request(request, exception)
    if isinstance(exception, RequestDataTooBig):
        return _problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, too_large())
    if isinstance(exception, DisallowedHost):
        said = "this server does not answer under that host name"
    elif isinstance(exception, TooManyFieldsSent):
        said = f"there may be {settings.DATA_UPLOAD_MAX_NUMBER_FIELDS} parameters"
    else:
        said = "this is no request that makes sense"
    return _problem(HTTPStatus.BAD_REQUEST, said)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """404: says what was looked for, where a page knows it."""
    if request.path.startswith(_REST):
        nothing = HTTPStatus.NOT_FOUND
        return _problem(nothing, "there is nothing at this address; /api/ has all lists")
    said = str(exception.args[0]) if exception.args and isinstance(exception.args[0], str) else ""
    may_read = not refusal(person_of(request.user), Right.READ)
    return render(request, "404.html", {"said": said, "may_read": may_read}, status=404)


def server_error(request: HttpRequest) -> HttpResponse:
    """500: drawn without request and database, either of which may be what failed.

    REST is answered with 503 while the database is away, so that programs ask again.
    """
    error = sys.exception()
    if not request.path.startswith(_REST):
        return HttpResponseServerError(render_to_string("500.html"))
    if isinstance(error, InterfaceError | OperationalError):
        again = {"Retry-After": str(_RETRY_AFTER_SECONDS)}
        return _problem(HTTPStatus.SERVICE_UNAVAILABLE, database_away(error), again)
    return _problem(HTTPStatus.INTERNAL_SERVER_ERROR, "this is a bug; the log of the web process has it")


def _problem(status: HTTPStatus, detail: str, headers: dict[str, str] | None = None) -> HttpResponse:
    return JsonResponse(
        problem(status, detail), status=status.value, content_type=CONTENT_TYPE, headers=headers
    )
