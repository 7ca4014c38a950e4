"""How often one may ask over REST: each token, else each user, else each address. More is answered with 429.

Each web process counts for itself, in its memory: with n of them, one may ask up to n times as often.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle

from apps.agents.models import ApiToken


class PerAsker(SimpleRateThrottle):
    """`SWF_THROTTLE` for tokens and users, `SWF_THROTTLE_ANONYMOUS` for addresses; no limit where they are empty."""

    def get_rate(self) -> None:
        """None yet: it depends on who asks."""

    def allow_request(self, request: Request, view: Any) -> bool:
        """Whether the request is within the rate; `Retry-After` says when the next one will be."""
        known = bool(request.user and request.user.is_authenticated)
        self.rate = (settings.SWF_THROTTLE if known else settings.SWF_THROTTLE_ANONYMOUS) or None
        self.num_requests, self.duration = self.parse_rate(self.rate)
        return super().allow_request(request, view)

    def get_cache_key(self, request: Request, view: Any) -> str:
        """Who asks."""
        if isinstance(request.auth, ApiToken):
            return f"asked:token:{request.auth.pk}"
        if request.user and request.user.is_authenticated:
            return f"asked:user:{request.user.pk}"
        return f"asked:address:{self.get_ident(request)}"
