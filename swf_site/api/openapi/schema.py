"""What an operation takes and answers, as far as it follows from its view: no view needs to say it again."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from django.conf import settings
from drf_spectacular.drainage import warn
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiExample, OpenApiParameter
from rest_framework.fields import DictField
from rest_framework.permissions import SAFE_METHODS
from rest_framework.serializers import Serializer

from apps.runs.api.fields import NUMBER_PATTERN
from apps.runs.api.preconditions import Tagged

from ..idempotency import HEADER
from . import authentication, problems  # noqa: F401 - how tokens are brought
from .examples import EXAMPLES

Json = dict[str, Any]

_CSV = "text/csv"
_DIGITS = f"^{NUMBER_PATTERN}$"
_MADE = ("create", "update")
_TAGGED = ("create", "retrieve", "partial_update")
# Whatever is asked: who asks, how often, for what, in which form, and whether the database is there.
_ALWAYS = {
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.NOT_ACCEPTABLE,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.SERVICE_UNAVAILABLE,
}
_MEANS = {
    "200": "What was asked for; of what was to be created, that it is known.",
    "201": "It was not known before.",
    "202": "It is written down, and will be done.",
}
_OF_CHANGES = {
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.CONFLICT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
}

_KEY = OpenApiParameter(
    HEADER,
    {"type": "string", "minLength": 1, "maxLength": 255},
    OpenApiParameter.HEADER,
    description="Sent again with the same key, the request has its effect once, and the same answer.",
)
_REPLAYED = OpenApiParameter(
    "Idempotency-Replayed",
    {"type": "string", "enum": ["true"]},
    OpenApiParameter.HEADER,
    description="The answer is that to the first request with this key.",
    response=["200", "201", "202"],
)
_TAG = OpenApiParameter(
    "ETag",
    str,
    OpenApiParameter.HEADER,
    description="The tag of this state, for `If-Match`.",
    response=["200", "201"],
)
_LINK = OpenApiParameter(
    "Link",
    str,
    OpenApiParameter.HEADER,
    description='Where the next rows are, if there are more: `<address>; rel="next"`.',
    response=["200"],
)


class Schema(AutoSchema):
    """The schema of a view of this interface: errors, headers, formats and names, over what drf-spectacular finds."""

    def get_operation_id(self) -> str:
        """Named after the action of a view set: many differ in nothing else."""
        action = getattr(self.view, "action", None)
        if action is None:
            return str(super().get_operation_id())
        return f"{self._resource().replace('-', '_')}_{action}"

    def get_tags(self) -> list[str]:
        """The resource."""
        return [self._resource()]

    def get_auth(self) -> list[Json]:
        """Also nothing, where anybody may read."""
        found: list[Json] = super().get_auth()
        return [*found, {}] if self.method in SAFE_METHODS and settings.SWF_ANONYMOUS_READ else found

    def get_examples(self) -> list[OpenApiExample]:
        """Those of the operation."""
        return [*super().get_examples(), *EXAMPLES.get(self.get_operation_id(), [])]

    def get_request_serializer(self) -> Any:
        """What comes here has not been said by `extend_schema(request=...)`: a view's serializer is for answers."""
        if self.method not in SAFE_METHODS:
            warn("say what the body is: @extend_schema(request=...), or request=None for none")

    def get_response_serializers(self) -> Any:
        """What is created is answered with 201, what is there already with 200."""
        found = super().get_response_serializers()
        if getattr(self.view, "action", None) in _MADE:
            return {200: found, 201: found}
        return found

    def get_override_parameters(self) -> list[Any]:
        """The headers of the request and of its answers."""
        found = [*super().get_override_parameters()]
        if self.method == "POST":
            found += [_KEY, _REPLAYED]
        if isinstance(self.view, Tagged) and getattr(self.view, "action", None) in _TAGGED:
            found.append(_TAG)
        if guarded := self._guarded():
            found.append(_if_match(guarded.guarded))
        if getattr(self.view, "pagination_class", None) and self._is_list_view():
            found.append(_LINK)
        return found

    def map_parsers(self) -> list[Any]:
        """The media types of bodies."""
        return list(dict.fromkeys(parser.media_type for parser in self.view.get_parsers()))

    def get_serializer_name(self, serializer: Serializer[Any], direction: Any) -> str:
        """Without the underscore of what is internal to its module."""
        return str(super().get_serializer_name(serializer, direction)).lstrip("_")

    def _resource(self) -> str:
        return next(iter(self._tokenize_path()), "root")

    def _guarded(self) -> Tagged | None:
        """The view, if `If-Match` counts for this operation."""
        return self.view if self.method == "PATCH" and isinstance(self.view, Tagged) else None

    def _get_response_bodies(self, direction: Any = "response") -> Json:
        """With every error that the operation can be answered with."""
        found: Json = super()._get_response_bodies(direction)
        return {**found, **problems.references(self._errors())}

    def _errors(self) -> set[HTTPStatus]:
        statuses = set(_ALWAYS)
        if self.get_filter_backends() or "{" in self.path or self._is_asked():
            statuses.add(HTTPStatus.BAD_REQUEST)
        if self.method not in SAFE_METHODS:
            statuses |= _OF_CHANGES
        if self.method == "POST":
            statuses.add(HTTPStatus.UNPROCESSABLE_ENTITY)
        if guarded := self._guarded():
            statuses.add(HTTPStatus.PRECONDITION_FAILED)
            statuses |= {HTTPStatus.PRECONDITION_REQUIRED} if guarded.guarded else set()
        return statuses

    def _is_asked(self) -> bool:
        """Whether the view has parameters of its own, which may make no sense."""
        return any(
            getattr(parameter, "location", OpenApiParameter.QUERY) == OpenApiParameter.QUERY
            for parameter in self.get_override_parameters()
        )

    def _get_response_for_code(
        self, serializer: Any, status_code: str, media_types: Any = None, direction: Any = "response"
    ) -> Json:
        """A table is text; it is for what is read. A `DictField` is as good as a serializer."""
        if isinstance(serializer, DictField):
            serializer = self._map_serializer_field(serializer, direction)
        found: Json = super()._get_response_for_code(serializer, status_code, media_types, direction)
        found["description"] = found["description"] or _MEANS.get(status_code, "")
        content: Json = found.get("content", {})
        if _CSV in content:
            del content[_CSV]
            if self.method in SAFE_METHODS:
                content[_CSV] = {"schema": {"type": "string"}}
        return found

    def _get_format_parameters(self) -> list[Json]:
        return super()._get_format_parameters() if self.method in SAFE_METHODS else []

    def _get_filter_parameters(self) -> list[Json]:
        """Without orders and searches that the list does not offer."""
        found: list[Json] = super()._get_filter_parameters()
        by_name = {parameter["name"]: parameter for parameter in found}
        ordering = by_name.pop("ordering", {})
        if ordering and (fields := getattr(self.view, "ordering_fields", None)):
            by_name["ordering"] = {**ordering, **_order_by(fields)}
        if "search" in by_name and not self._is_searched():
            del by_name["search"]
        return list(by_name.values())

    def _is_searched(self) -> bool:
        filters = getattr(getattr(self.view, "filterset_class", None), "base_filters", {})
        return "search" in filters or bool(getattr(self.view, "search_fields", None))

    def _resolve_path_parameters(self, variables: Any) -> list[Json]:
        """What is matched by digits is a number."""
        found: list[Json] = super()._resolve_path_parameters(variables)
        for parameter in found:
            if parameter["schema"].get("pattern") == _DIGITS or parameter["schema"].get("type") == "integer":
                parameter["schema"] = {"type": "integer", "minimum": 0}
        return found

    def _map_basic_serializer(self, serializer: Any, direction: Any) -> Json:
        """Of an answer nothing is left out."""
        found: Json = super()._map_basic_serializer(serializer, direction)
        if direction == "response" and (properties := found.get("properties")):
            found["required"] = sorted(properties)
        return found


def _if_match(field: str) -> OpenApiParameter:
    needed = f" A change of `{field}` needs it." if field else ""
    return OpenApiParameter(
        "If-Match",
        {"type": "string", "minLength": 1},
        OpenApiParameter.HEADER,
        description=f"The `ETag` of the state that the client has seen.{needed}",
    )


def _order_by(fields: Sequence[str]) -> Json:
    words = "|".join(fields)
    return {
        "description": f"A field, with `-` downwards; several with commas: {', '.join(fields)}.",
        "schema": {"type": "string", "pattern": f"^-?({words})(,-?({words}))*$"},
    }
