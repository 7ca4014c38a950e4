"""`/api/`, `/api/schema/`, and the pages that show the schema. All that these need comes from this server."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from functools import cache
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiYamlRenderer2
from drf_spectacular.utils import extend_schema
from rest_framework.fields import DictField, URLField
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.routers import APIRootView
from rest_framework.views import APIView

from swf_site.security import POLICY

from ..csv import is_error
from .schema import Schema

# Styles that Redoc's bundle writes into the page as it loads, before it can be told a nonce: none yet, and those of its
# scroll bars. They are of this version of the bundle; the browser's console names others.
_REDOC_STYLES = (
    "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
    "sha256-QMIg+bpjm3JdElJ388KYke01izlUW0UoNOeKjpMxdgc=",
)
_SHOWN_BY = ("schema", "docs", "redoc")


class Root(APIRootView):
    """`/api/`: the addresses of all lists, of the schema, and of the pages that show it."""

    renderer_classes = [JSONRenderer]
    schema = Schema()

    @extend_schema(responses={200: DictField(child=URLField())})
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """The addresses of all lists, of the schema, and of the pages that show it."""
        answer: Response = super().get(request, *args, **kwargs)
        answer.data |= {name: reverse(name, request=request) for name in _SHOWN_BY}
        return answer


class YAMLRenderer(OpenApiYamlRenderer2):
    """YAML; errors stay what they are."""

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        """The document."""
        if is_error(renderer_context):
            return JSONRenderer().render(data)
        rendered: bytes = super().render(data, accepted_media_type, renderer_context)
        return rendered


class SchemaView(APIView):
    """`/api/schema/`, in JSON, or YAML by `?format=yaml`."""

    renderer_classes = [JSONRenderer, YAMLRenderer]

    @extend_schema(responses={200: DictField()})
    def get(self, request: Request) -> Response:
        """This document: OpenAPI 3.1."""
        return Response(document())


def document() -> dict[str, Any]:
    """The schema. It takes a second to make, and stays what it is as long as the process and its settings do."""
    return _made(settings.SWF_ANONYMOUS_READ)


@cache
def _made(for_anybody: bool) -> dict[str, Any]:  # noqa: FBT001 - what it depends on
    made: dict[str, Any] = SchemaGenerator().get_schema(public=True)
    return made


def docs(request: HttpRequest) -> HttpResponse:
    """`/api/docs/`: the schema in Swagger UI, to try things out."""
    return render(request, "api_docs.html")


def redoc(request: HttpRequest) -> HttpResponse:
    """`/api/redoc/`: the schema in Redoc, to read.

    Redoc writes its styles into the page, which the policy lets it do by a nonce and by what they are.
    """
    nonce = secrets.token_urlsafe()
    response = render(request, "api_redoc.html", {"nonce": nonce})
    styles = " ".join(f"'{source}'" for source in ("self", f"nonce-{nonce}", *_REDOC_STYLES))
    response["Content-Security-Policy"] = f"{POLICY}; style-src {styles}"
    return response
