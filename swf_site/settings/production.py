"""What changes with `SWF_PRODUCTION=true`: the server stands behind a proxy that speaks HTTPS with the world."""

from __future__ import annotations

from django.core.exceptions import ImproperlyConfigured

from . import env

SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True
SECURE_SSL_REDIRECT = True
# Those who watch over the process come past the proxy.
SECURE_REDIRECT_EXEMPT = ["^healthz$", "^readyz$"]
# The proxy must set this header, whatever a client has sent.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_HSTS_SECONDS = env.number("SWF_HSTS_SECONDS", 365 * 24 * 3600)
SECURE_HSTS_INCLUDE_SUBDOMAINS = True
# Preloading concerns the whole domain: that is for its owner to ask for, not for one of its servers.
SILENCED_SYSTEM_CHECKS = ["security.W021"]


def check(*, debug: bool, hosts: list[str] | None) -> None:
    """Go on if the server may be shown to the world.

    Raises:
        ImproperlyConfigured: it may not; the text says what to change.
    """
    if debug:
        raise ImproperlyConfigured(
            "SWF_DEBUG shows the source and settings to everybody: not with SWF_PRODUCTION"
        )
    if not hosts:
        raise ImproperlyConfigured(
            "SWF_PRODUCTION needs SWF_ALLOWED_HOSTS: the host names under which browsers reach the server"
        )
