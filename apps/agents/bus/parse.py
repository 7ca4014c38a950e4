"""From the body of a message to its model, or to a reason that a person can act on."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

from pydantic import ValidationError

from .legacy import modernised
from .schemas import Asking, Message
from .vocabulary import MESSAGES


class MessageError(ValueError):
    """A message cannot be understood; the text names the field, the value and what was expected."""

    def __init__(self, said: str, fields: Mapping[str, str] | None = None) -> None:
        """`fields` are those that are wrong, with the reason."""
        super().__init__(said)
        self.fields = dict(fields or {})


class UnknownMessage(MessageError):
    """No message of this type is known."""


def parse(body: Any, *, fallback_id: UUID | None = None) -> Message:
    """The message in `body`.

    Args:
        body: the decoded JSON of the message.
        fallback_id: the id of a message that brings none, or one of its sender's own; it must be the same on redelivery.

    Raises:
        MessageError: it is no object, its type is missing, or fields are missing or wrong.
        UnknownMessage: its type is not in the vocabulary.
    """
    if not isinstance(body, dict):
        raise MessageError(f"a message is a JSON object, this is {type(body).__name__}: {_short(body)}")
    fields = modernised(body)
    msg_type = fields.get("msg_type")
    if not isinstance(msg_type, str) or not msg_type:
        raise MessageError(f"msg_type is missing or no text: {_short(msg_type)}")
    model = MESSAGES.get(msg_type)
    if model is None:
        near = difflib.get_close_matches(msg_type, MESSAGES, n=1)
        hint = f", did you mean {near[0]!r}?" if near else ""
        raise UnknownMessage(f"msg_type {msg_type!r} is not in the vocabulary{hint}")
    if issubclass(model, Asking):
        fields = _with_ids_of_ours(fields)
    try:
        message = model.model_validate(fields)
    except ValidationError as error:
        fields = {str(one["loc"][0]): one["msg"] for one in error.errors(include_url=False) if one["loc"]}
        raise MessageError(f"{msg_type}: {_explain(error)}", fields) from None
    if fallback_id is not None and "msg_id" not in fields:
        message.name(fallback_id)
    return message


def _with_ids_of_ours(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields without a `msg_id` that is only its sender's: it may count from 1 after each start, so the message is known
    by its delivery. What goes together by such a text stays together.
    """
    changed = dict(fields)
    if _is_a_name(fields.get("msg_id")):
        del changed["msg_id"]
    if _is_a_name(correlation := fields.get("correlation_id")):
        changed["correlation_id"] = uuid5(NAMESPACE_OID, str(correlation))
    return changed


def _is_a_name(given: object) -> bool:
    """Whether it is a text, but no UUID."""
    if not isinstance(given, str):
        return False
    try:
        UUID(given)
    except ValueError:
        return True
    return False


def _explain(error: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(str(part) for part in problem['loc'])}"
        + ("" if problem["type"] == "missing" else f" = {_short(problem['input'])}")
        + f": {problem['msg']}"
        for problem in error.errors(include_url=False)
    )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
