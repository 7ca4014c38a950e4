"""Who may ask what over REST: `apps.runs.access` decides, for all views at once. No view has permissions of its own."""

from __future__ import annotations

from typing import Any

from rest_framework.exceptions import NotAuthenticated, PermissionDenied
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from apps.runs.access import Right, open_to, refusal

from ..rights import change_of
from .authentication import asker
from .namespaces import places_of


class AsRolesAllow(BasePermission):
    """Lets those go on whose roles, namespaces and token allow what is asked."""

    def has_permission(self, request: Request, view: Any) -> bool:
        """True.

        Raises:
            NotAuthenticated: it takes somebody who may do this.
            PermissionDenied: whoever asks may not; the text says why.
        """
        person = asker(request)
        right = _right(request, view)
        said = refusal(person, right, places_of(request, view, right))
        if said and not person.name:
            raise NotAuthenticated(said)
        if said:
            raise PermissionDenied(said)
        # Views that look for rows themselves take those of these namespaces.
        view.open_to = open_to(person)
        return True


def _right(request: Request, view: Any) -> Right:
    if request.method in SAFE_METHODS or not _answers(request, view):
        return Right.READ
    route = request.resolver_match
    return change_of(route.url_name if route and route.url_name else "")


def _answers(request: Request, view: Any) -> bool:
    """Whether the view does this at all. If not, it says so itself, with 405."""
    return hasattr(view, (request.method or "").lower())
