"""`/login/`: by name and password, or the way to the identity provider if there is one."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse

from apps.agents.services import TooManyGuesses
from apps.runs.people import people


class Login(LoginView):
    """The login of pages and admin; back to where `next` says, on this server."""

    template_name = "login.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """With the name of the identity provider, if there is one, and whether anybody could log in."""
        provider = settings.SWF_OIDC_NAME if settings.SWF_OIDC_ISSUER else ""
        return super().get_context_data(provider=provider, has_users=people().exists(), **kwargs)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Log in; after too many wrong passwords, the page says when the next one is tried (429)."""
        try:
            return super().post(request, *args, **kwargs)
        except TooManyGuesses as refusal:
            empty = self.get_form_class()(request)
            page = self.get_context_data(form=empty, refusal=str(refusal))
            return self.render_to_response(page, status=429, headers={"Retry-After": str(refusal.wait)})
