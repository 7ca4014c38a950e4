"""Which messages on a shared broker are another testbed's."""

from __future__ import annotations

from typing import Any

from django.conf import settings

from apps.runs.models import Namespace

_NAME_LENGTH = Namespace._meta.get_field("name").max_length or 0


class Namespaces:
    """The namespaces of this testbed: the one it is set up for, and those that its runs were requested in.

    A message that names none is taken for our own: the oldest producers of the existing system name none.
    """

    def __init__(self) -> None:
        self._known = {"", settings.SWF_NAMESPACE}

    def is_foreign(self, body: Any) -> bool:
        """Whether the message is of a namespace that this testbed does not have."""
        name = body.get("namespace") if isinstance(body, dict) else None
        if not isinstance(name, str) or name in self._known:
            return False
        if len(name) > _NAME_LENGTH or "\0" in name:
            return False  # no namespace at all: the schema says so
        if not Namespace.objects.filter(name=name).exists():
            return True
        self._known.add(name)
        return False
