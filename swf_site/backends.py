"""What Django's own permissions are here: admins have all of them, nobody else has any. Only the admin site asks."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import Model

from apps.runs.people import is_admin


class Roles(ModelBackend):
    """Logs in by name and password; permissions go by the role."""

    def has_perm(
        self, user_obj: AbstractBaseUser | AnonymousUser, perm: str, obj: Model | None = None
    ) -> bool:
        """Whether the user is an admin."""
        return _is_admin(user_obj)

    def has_module_perms(self, user_obj: AbstractBaseUser | AnonymousUser, app_label: str) -> bool:
        """Whether the user is an admin."""
        return _is_admin(user_obj)


def _is_admin(user: Any) -> bool:
    # A page of the admin asks dozens of times, of one object that lives as long as the request.
    if not hasattr(user, "_swf_is_admin"):
        user._swf_is_admin = is_admin(user)
    return bool(user._swf_is_admin)
