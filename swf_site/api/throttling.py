"""How often one may ask over REST: each token, else each user, else each address. More is answered with 429.

Each has a bucket: `1200/minute` are 1200 at once, and then one more every 50 ms. The web processes fill the same buckets.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle

from apps.agents.models import ApiToken
from swf_site.buckets import Buckets

# Made when the routes are loaded, which is before the web processes divide.
_asked = Buckets()


class PerAsker(SimpleRateThrottle):
    """`SWF_THROTTLE` for tokens and users, `SWF_THROTTLE_ANONYMOUS` for addresses; no limit where they are empty."""

    _wait = 0.0

    def get_rate(self) -> None:
        """None yet: it depends on who asks."""

    def allow_request(self, request: Request, view: Any) -> bool:
        """Whether the request is within the rate; `Retry-After` says when the next one will be."""
        known = bool(request.user and request.user.is_authenticated)
        number, seconds = self.parse_rate(
            (settings.SWF_THROTTLE if known else settings.SWF_THROTTLE_ANONYMOUS) or None
        )
        if number and seconds:
            self._wait = _asked.fill(
                self.get_cache_key(request, view), size=number, interval=seconds / number
            )
        return not self._wait

    def wait(self) -> float:
        """Seconds until the next request."""
        return self._wait

    def get_cache_key(self, request: Request, view: Any) -> str:
        """Who asks."""
        if isinstance(request.auth, ApiToken):
            return f"token {request.auth.pk}"
        if request.user and request.user.is_authenticated:
            return f"user {request.user.pk}"
        return f"address {self.get_ident(request)}"
