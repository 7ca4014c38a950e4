"""`/login/`: by name and password, or the way to the identity provider if there is one."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.views import LoginView


class Login(LoginView):
    """The login of pages and admin; back to where `next` says, on this server."""

    template_name = "login.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """With the name of the identity provider, if there is one."""
        provider = settings.SWF_OIDC_NAME if settings.SWF_OIDC_ISSUER else ""
        return super().get_context_data(provider=provider, **kwargs)
