"""Commands of other systems, on ActiveMQ: answered where an answer is wanted, handed on where they are meant for another.

The queue `workflow_control` is shared by all testbeds of a broker, and whoever takes a message off it has it alone. So a
command for another namespace is put into that one's own queue, `workflow_control.<namespace>`, and its sender is told so:
there may be nobody who reads it.
"""

from __future__ import annotations

import logging
from typing import Any

from celery import current_app
from uuid_utils.compat import uuid7

from apps.runs.errors import RetryableError
from apps.runs.served import served_namespaces

from .. import services
from . import asking
from .receive import Again, Delivery, Result, parsed
from .schemas import Reply
from .sending import connection_to_send, failures, send
from .stomp.foreign import ORIGINAL_ID
from .topology import ANYWHERE, CONTROL_QUEUE, control_queue_of, is_plain

log = logging.getLogger(__name__)


def hand_on(agent: str, delivery: Delivery) -> None:
    """Put a command for another namespace where that one's testbed finds it; anything else is left as it is.

    Raises:
        RetryableError: the broker does not take it.
    """
    if delivery.queue != CONTROL_QUEUE:
        return
    message = {"msg_id": str(delivery.delivery_id), **delivery.body}
    queue = f"/queue/{control_queue_of(message['namespace'])}"
    # Handed on twice, it is one message.
    _send(message, queue, {**_of_answers(delivery), ORIGINAL_ID: str(delivery.delivery_id)})
    reason = (
        f"namespace {message['namespace']!r} is not served by this testbed, which serves "
        f"{', '.join(served_namespaces())}; the command waits in {queue} for the one that does. To have it served here, add "
        "it to SWF_NAMESPACES"
    )
    _answer(agent, delivery, {"status": "handed_on", "reason": reason})


def answer(agent: str, delivery: Delivery, result: Result) -> None:
    """Answer a command that has been dealt with, if its sender asked for it. An answer that cannot be sent is logged."""
    if isinstance(result, Again):
        return
    if result:
        _answer(agent, delivery, {"status": "ok", "result": result.answer})
    else:
        _answer(agent, delivery, {"status": "error"})


def _answer(agent: str, delivery: Delivery, said: dict[str, Any]) -> None:
    asked = _asked(delivery)
    destination = asking.answer_to(asked, delivery.headers)
    if destination is None:
        return
    msg_type = asked.get("msg_type")
    if not is_plain(current_app):
        log.warning("no answer to %s: only ActiveMQ has destinations like %r", msg_type, destination)
        return
    try:
        _send(_reply(agent, delivery, said), destination, _of_answers(delivery, asking.CORRELATION_ID))
    except RetryableError as error:
        log.warning("no answer to %s: %s", msg_type, error)


def _reply(agent: str, delivery: Delivery, said: dict[str, Any]) -> dict[str, Any]:
    # One that was understood is parked under its own id, any other under that of its delivery.
    message = parsed(delivery)
    msg_id = message.msg_id if message else delivery.delivery_id
    if said["status"] == "error":
        said = {**said, "reason": services.parked_reason(agent, msg_id)}
    asked = _asked(delivery)
    reply = Reply.model_validate(
        {
            "msg_id": uuid7(),
            "command": str(asked.get("msg_type")),
            "sender": agent,
            "causation_id": msg_id,
            "correlation_id": message.correlation_id or msg_id if message else msg_id,
            **said,
        }
    )
    return reply.model_dump(mode="json") | asking.echo(asked, delivery.headers)


def _asked(delivery: Delivery) -> dict[str, Any]:
    return delivery.body if isinstance(delivery.body, dict) else {}


def _of_answers(delivery: Delivery, *names: str) -> dict[str, str]:
    """Those of its headers that say where an answer is to go, and how its sender knows it; or these of them."""
    wanted = names or (asking.REPLY_TO, asking.CORRELATION_ID)
    return {name: delivery.headers[name] for name in wanted if name in delivery.headers}


def _send(message: dict[str, Any], destination: str, headers: dict[str, str]) -> None:
    with connection_to_send() as broker:
        try:
            send(broker.Producer(serializer="json"), message, ANYWHERE, destination, headers=headers)
        except failures(broker) as error:
            raise RetryableError(f"the broker does not take messages: {error}") from error
