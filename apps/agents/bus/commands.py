"""Commands of other systems, on ActiveMQ: answered where an answer is wanted, handed on where they are meant for another.

The queue `workflow_control` is shared by all testbeds of a broker, and whoever takes a message off it has it alone. So a
command for another namespace is put into that one's own queue, `workflow_control.<namespace>`.
"""

from __future__ import annotations

import logging
from typing import Any

from celery import current_app
from uuid_utils.compat import uuid7

from apps.runs.errors import RetryableError

from .. import services
from .receive import Again, Delivery, Result, parsed
from .schemas import Message, Reply
from .sending import connection_to_send, failures, send
from .topology import ANYWHERE, CONTROL_QUEUE, control_queue_of, is_plain

log = logging.getLogger(__name__)


def hand_on(delivery: Delivery) -> None:
    """Put a command for another namespace where that one's testbed finds it; anything else is left as it is.

    Raises:
        RetryableError: the broker does not take it.
    """
    if delivery.queue == CONTROL_QUEUE:
        message = {"msg_id": str(delivery.delivery_id), **delivery.body}
        _send(message, f"/queue/{control_queue_of(message['namespace'])}")


def answer(agent: str, delivery: Delivery, result: Result) -> None:
    """Answer a command that has been dealt with, if its sender asked for it. An answer that cannot be sent is logged."""
    asked = delivery.body if isinstance(delivery.body, dict) else {}
    destination = asked.get("reply_to")
    if not isinstance(destination, str) or not destination or isinstance(result, Again):
        return
    if not is_plain(current_app):
        log.warning(
            "no answer to %s: only ActiveMQ has destinations like %r", asked.get("msg_type"), destination
        )
        return
    reply = _reply(agent, delivery, asked, result)
    try:
        _send(reply.model_dump(mode="json"), destination if "/" in destination else f"/queue/{destination}")
    except RetryableError as error:
        log.warning("no answer to %s: %s", asked.get("msg_type"), error)


def _reply(agent: str, delivery: Delivery, asked: dict[str, Any], result: Message | None) -> Reply:
    # One that was understood is parked under its own id, any other under that of its delivery.
    message = result or parsed(delivery)
    msg_id = message.msg_id if message else delivery.delivery_id
    return Reply.model_validate(
        {
            "msg_id": uuid7(),
            "command": str(asked.get("msg_type")),
            "sender": agent,
            "causation_id": msg_id,
            "correlation_id": message.correlation_id or msg_id if message else msg_id,
            "status": "ok" if result else "error",
            "reason": "" if result else services.parked_reason(agent, msg_id),
            "result": result.answer if result else {},
        }
    )


def _send(message: dict[str, Any], destination: str) -> None:
    with connection_to_send() as broker:
        try:
            send(broker.Producer(serializer="json"), message, ANYWHERE, destination)
        except failures(broker) as error:
            raise RetryableError(f"the broker does not take messages: {error}") from error
