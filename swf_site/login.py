"""`/login/`: by name and password."""

from __future__ import annotations

from django.contrib.auth.views import LoginView


class Login(LoginView):
    """The login of pages and admin; back to where `next` says, on this server."""

    template_name = "login.html"
