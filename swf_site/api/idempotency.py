"""The header `Idempotency-Key`: a POST that is sent again has its effect once, and the same answer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from http import HTTPStatus

from django.core.exceptions import RequestDataTooBig
from django.db import OperationalError, transaction
from django.http import HttpRequest, HttpResponse
from psycopg.errors import LockNotAvailable

from apps.runs.models import IdempotentAnswer
from apps.runs.services.idempotency import OtherRequest, begin_request, finish_request

from .errors import CONTENT_TYPE, problem, too_large

HEADER = "Idempotency-Key"
_LONGEST = 255
_KEPT_HEADERS = ("Content-Type", "ETag", "Location")


def idempotency(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Middleware: effect and answer of a POST under `/api/` with a key are one transaction."""

    def handle(request: HttpRequest) -> HttpResponse:
        key = request.headers.get(HEADER, "")
        if not key or request.method != "POST" or not request.path.startswith("/api/"):
            return get_response(request)
        if len(key) > _LONGEST:
            return _refused(HTTPStatus.BAD_REQUEST, f"{HEADER} has {len(key)} characters; {_LONGEST} may be")
        try:
            return _once(key, request, get_response)
        except RequestDataTooBig:
            return _refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, too_large())
        except OtherRequest as refusal:
            return _refused(HTTPStatus.UNPROCESSABLE_ENTITY, str(refusal))
        except OperationalError as error:
            if not isinstance(error.__cause__, LockNotAvailable):
                raise
            return _refused(
                HTTPStatus.CONFLICT, f"a request with this {HEADER} is under way: ask again later"
            )

    return handle


@transaction.atomic
def _once(
    key: str, request: HttpRequest, get_response: Callable[[HttpRequest], HttpResponse]
) -> HttpResponse:
    answer = begin_request(key, owner=_owner(request), request_hash=_hash(request))
    if answer.status:
        return _again(answer)
    response = get_response(request)
    if response.status_code >= 500:
        # Whatever was done goes with it, the row of this key too.
        transaction.set_rollback(True)
        return response
    headers = {name: response[name] for name in _KEPT_HEADERS if name in response}
    finish_request(answer, status=response.status_code, body=response.content.decode(), headers=headers)
    return response


def _owner(request: HttpRequest) -> str:
    """Whose key it is, without a look at whether the credentials are good: that is for the view to see."""
    who = [request.headers.get("Authorization", ""), str(request.user.pk or "")]
    return hashlib.sha256(json.dumps(who).encode()).hexdigest()


def _hash(request: HttpRequest) -> str:
    return hashlib.sha256(request.get_full_path().encode() + b"\n" + request.body).hexdigest()


def _again(answer: IdempotentAnswer) -> HttpResponse:
    response = HttpResponse(answer.body, status=answer.status, headers=answer.headers)
    response["Idempotency-Replayed"] = "true"
    return response


def _refused(status: HTTPStatus, detail: str) -> HttpResponse:
    return HttpResponse(json.dumps(problem(status, detail)), status=status.value, content_type=CONTENT_TYPE)
