"""Which messages on a shared broker are another testbed's."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

from apps.runs.models import Namespace
from apps.runs.selectors import in_journal
from apps.runs.served import served_namespaces

_NAME_LENGTH = Namespace._meta.get_field("name").max_length or 0


def are_foreign(bodies: Sequence[Any]) -> list[bool]:
    """Of each message, whether it is another testbed's: of a namespace that is not served here, and not out of our journal.

    Which are served is configured. That one is known here says nothing: anybody may make one over REST, and a run that was
    once taken in one leaves it behind. What our own journal says is ours, whatever its namespace. A message that names none
    is taken for our own: the oldest producers of the existing system name none.
    """
    strange = [_is_of_another(body) for body in bodies]
    ids = [_id_of(body) if is_strange else None for body, is_strange in zip(bodies, strange, strict=True)]
    own = in_journal(msg_id for msg_id in ids if msg_id)
    return [is_strange and msg_id not in own for is_strange, msg_id in zip(strange, ids, strict=True)]


def _is_of_another(body: Any) -> bool:
    name = body.get("namespace") if isinstance(body, dict) else None
    if not isinstance(name, str) or not name or name in served_namespaces():
        return False
    # Otherwise it is no namespace at all: the schema says so.
    return len(name) <= _NAME_LENGTH and "\0" not in name


def _id_of(body: dict[str, Any]) -> UUID | None:
    """The message's id, if it can be one of our journal's."""
    with suppress(ValueError):
        return UUID(str(body.get("msg_id")))
    return None
