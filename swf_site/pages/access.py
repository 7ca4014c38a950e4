"""Who may act from the pages: `apps.runs.access` decides, the page of a refusal says why not."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_POST

from apps.runs.access import NO_NAMESPACE, Right, refusal
from apps.runs.people import person_of
from swf_site.api.namespaces import namespaces_of_run

from ..rights import change_of

View = Callable[..., HttpResponse]


def why_not(request: HttpRequest, run_number: int | None = None, right: Right = Right.OPERATE) -> str:
    """Why whoever asks may not act on the run, or on all runs without one; empty if it may."""
    places = [NO_NAMESPACE] if run_number is None else namespaces_of_run(run_number)
    return refusal(person_of(request.user), right, places)


def acting(request: HttpRequest, run_number: int | None = None) -> dict[str, Any]:
    """What a page needs to offer actions on the run, or on all runs, to those who may, and to tell others why not."""
    said = why_not(request, run_number)
    return {"may_act": not said, "why_not": said if request.user.is_authenticated else ""}


def action(view: View) -> View:
    """A POST by somebody who may. Others are asked to log in, or told why not."""

    @require_POST
    @wraps(view)
    def checked(request: HttpRequest, **named: Any) -> HttpResponse:
        run_number = named.get("run_number")
        route = request.resolver_match
        said = why_not(request, run_number, change_of(route.url_name or "" if route else ""))
        if not said:
            return view(request, **named)
        if not request.user.is_authenticated:
            return redirect_to_login(_page(run_number))
        return refused(request, said)

    return checked


def refused(request: HttpRequest, said: str) -> HttpResponse:
    """403 in words."""
    return render(request, "403.html", {"said": said}, status=403)


def _page(run_number: int | None) -> str:
    """Where the action was offered."""
    return reverse("processing") if run_number is None else reverse("run", args=[run_number])
