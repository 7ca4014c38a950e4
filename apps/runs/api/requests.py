"""What views make of a request: what its body says, and who asks."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import PolymorphicProxySerializer
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer, ValidationError
from rest_framework.settings import api_settings


class ExactSerializer(Serializer[Any]):
    """What is said and nothing else. A misspelled name must not mean its default."""

    kind = "field"
    also: frozenset[str] = frozenset()

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuses what is no field, and names those that there are."""
        if unknown := set(self.initial_data) - set(self.fields) - self.also:
            known = ", ".join(self.fields)
            raise ValidationError(dict.fromkeys(unknown, f"is no {self.kind}; there are {known}"))
        return attrs


class AskedSerializer(ExactSerializer):
    """What a query asks."""

    kind = "parameter"
    also = frozenset({str(api_settings.URL_FORMAT_OVERRIDE)})


def asked_in(request: Request, serializer: type[AskedSerializer]) -> dict[str, Any]:
    """What the query asks, checked.

    Raises:
        ValidationError: parameters are unknown, missing or wrong.
    """
    asked = serializer(data=request.query_params.dict())
    asked.is_valid(raise_exception=True)
    return dict(asked.validated_data)


def said_in(request: Request, serializer: type[Serializer[Any]]) -> dict[str, Any]:
    """What the body says, checked.

    Raises:
        ValidationError: fields are missing or wrong.
    """
    wish = serializer(data=request.data)
    wish.is_valid(raise_exception=True)
    return dict(wish.validated_data)


def all_said_in(request: Request, serializer: type[Serializer[Any]]) -> list[dict[str, Any]]:
    """What a body says that is one object or a list of them, checked.

    Raises:
        ValidationError: fields are missing or wrong; of a list, the errors are by position.
    """
    if not isinstance(request.data, list):
        return [said_in(request, serializer)]
    wishes = serializer(data=request.data, many=True)
    wishes.is_valid(raise_exception=True)
    return [dict(wish) for wish in wishes.validated_data]


def one_or_many(
    name: str, serializer: type[Serializer[Any]], of_many: type[Serializer[Any]] | None = None
) -> PolymorphicProxySerializer:
    """For the schema: one object, or a list of them; of a list perhaps less is said of each.

    Args:
        name: of the component, which no other may have.
    """
    members: list[Serializer[Any] | type[Serializer[Any]]] = [serializer, (of_many or serializer)(many=True)]
    return PolymorphicProxySerializer(
        component_name=name, serializers=members, resource_type_field_name=None, many=False
    )


def name_of(request: Request) -> str:
    """The name of the user who asks."""
    return request.user.get_username()


def made(data: Any, *, created: bool) -> Response:
    """The answer to a creation: 201, or 200 if it was there already."""
    return Response(data, status=status.HTTP_201_CREATED if created else status.HTTP_200_OK)
