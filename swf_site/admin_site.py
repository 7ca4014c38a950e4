"""The admin site: for those with the role `admin`; its login is that of the pages."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.decorators import method_decorator

from apps.runs.access import Right
from apps.runs.people import is_admin

from .pages.access import refused, why_not


class TestbedAdmin(AdminSite):
    """Its permissions are those of `swf_site.backends`."""

    site_header = "SWF testbed"

    def has_permission(self, request: HttpRequest) -> bool:
        """Whether the user is an admin."""
        return is_admin(request.user)

    @method_decorator(login_not_required)
    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Ask to log in; who has done so and is no admin is told why that is not enough."""
        if request.user.is_authenticated and (said := why_not(request, right=Right.ADMINISTER)):
            return refused(request, said)
        return redirect_to_login(request.GET.get("next") or reverse("admin:index"))
