"""Users who log in by name and password, as often as they may; and what Django's own permissions are here, which only the
admin site asks for: admins have all of them, nobody else has any."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, User
from django.db.models import Model
from django.http import HttpRequest

from apps.agents.access import address_of
from apps.agents.services import check_password_guess, note_right_password, note_wrong_password
from apps.runs.people import is_admin


class Roles(ModelBackend):
    """Logs in by name and password; permissions go by the role."""

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **kwargs: Any,
    ) -> User | None:
        """The user; None if name or password are wrong, which is counted if it comes from somewhere.

        Raises:
            TooManyGuesses: they are not tried.
        """
        if request is None or username is None or password is None:
            return super().authenticate(request, username, password)
        meta = request.META
        address = address_of(meta.get("REMOTE_ADDR", ""), meta.get("HTTP_X_FORWARDED_FOR", ""))
        check_password_guess(username, address)
        user = super().authenticate(request, username, password)
        note = note_right_password if user else note_wrong_password
        note(username, address)
        return user

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
