"""Entity tags: a client that has seen a state says so with its change, and does not undo what it has not seen."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from rest_framework import status
from rest_framework.exceptions import APIException
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response


class Tagged:
    """A view whose rows have entity tags. `guarded` is the field that may be changed only by who says what it has seen."""

    guarded = ""


class PreconditionFailed(APIException):
    """The state is not the one that the client has seen."""

    status_code = status.HTTP_412_PRECONDITION_FAILED


class PreconditionRequired(APIException):
    """The client does not say which state it has seen."""

    status_code = status.HTTP_428_PRECONDITION_REQUIRED


def tag_of(data: Any) -> str:
    """The strong entity tag of what a resource shows."""
    text = json.dumps(json.loads(JSONRenderer().render(data)), sort_keys=True)
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


def tagged(data: Any, response: Response | None = None) -> Response:
    """The resource with its tag."""
    response = response or Response(data)
    response["ETag"] = tag_of(data)
    return response


def check_if_match(request: Request, data: Any, *, required_for: str = "") -> None:
    """Go on if the client has seen this state; the row must be locked by then.

    Args:
        data: what the resource shows now.
        required_for: the fields that may be changed only by who says what it has seen; empty when there are none.

    Raises:
        PreconditionFailed: it has seen another one.
        PreconditionRequired: it does not say.
    """
    wanted = request.headers.get("If-Match", "")
    if not wanted:
        if required_for:
            raise PreconditionRequired(
                f"a change of {required_for} needs the header If-Match with the ETag that a GET answers with"
            )
        return
    tags = {tag.strip() for tag in wanted.split(",")}
    if "*" not in tags and tag_of(data) not in tags:
        raise PreconditionFailed("it has changed since: GET it again, and decide anew")
