"""How tokens and passwords are brought, for the document; sessions drf-spectacular knows."""

from __future__ import annotations

from typing import Any

from drf_spectacular.authentication import BasicScheme
from drf_spectacular.extensions import OpenApiAuthenticationExtension


class ByTokenScheme(OpenApiAuthenticationExtension):
    """`ByToken` under both its names. `Bearer` is the one that tools know."""

    target_class = "swf_site.api.authentication.ByToken"
    name = ["bearer", "token"]

    def get_security_requirement(self, auto_schema: Any) -> list[dict[str, list[Any]]]:
        """One of the two."""
        return [{name: []} for name in self.name]

    def get_security_definition(self, auto_schema: Any) -> list[dict[str, Any]]:
        """Both."""
        return [
            {"type": "http", "scheme": "bearer", "description": "A token, as `get_token` prints it."},
            {
                "type": "apiKey",
                "in": "header",
                "name": "Authorization",
                "description": "The same, as clients of the existing system bring it: `Token swf_...`",
            },
        ]


class ByPasswordScheme(BasicScheme):
    """Passwords, guesses of which are held back."""

    target_class = "swf_site.api.authentication.ByPassword"
