"""What browsers may do with our pages, and who is shown them at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse

from apps.runs.access import Right, refusal
from apps.runs.people import person_of

from .rights import CHANGES

# Everything comes from this server, nothing is written into the pages.
POLICY = "; ".join(
    [
        "default-src 'self'",
        "img-src 'self' data:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    ]
)

Answer = Callable[[HttpRequest], HttpResponse]


def content_security_policy(get_response: Answer) -> Answer:
    """Middleware that adds the policy to every answer."""

    def answer(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        response.headers.setdefault("Content-Security-Policy", POLICY)
        return response

    return answer


class ReadersOnly:
    """Middleware that shows pages to those who may read. Views marked with `login_not_required` see to it themselves, as
    all of REST does."""

    def __init__(self, get_response: Answer) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self._get_response(request)

    def process_view(
        self, request: HttpRequest, view: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> HttpResponse | None:
        """None to go on; otherwise the way to the login, or why that is not enough."""
        from .pages.access import refused

        if not getattr(view, "login_required", True):
            return None
        person = person_of(request.user)
        said = refusal(person, _right(request))
        if not said:
            return None
        return refused(request, said) if person.name else redirect_to_login(request.get_full_path())


def _right(request: HttpRequest) -> Right:
    """To read; what changes something sees to its own right, if it is known to change something."""
    route = request.resolver_match
    if request.method in ("GET", "HEAD", "OPTIONS") or (route and route.url_name in CHANGES):
        return Right.READ
    return Right.ADMINISTER
