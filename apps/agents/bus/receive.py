"""Messages in, effects out, once each; or parked with the reason.

Messages that come for the first time are handled in one transaction, which also records that they were. If it fails, or the
broker says that it has delivered one before, each is taken by itself: counted, handled, finished. So a message that kills
its worker is given up after five attempts, and all others cost no count.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any
from uuid import UUID

from django.db import Error as DatabaseError
from django.db import InterfaceError, OperationalError, transaction

from apps.runs import journal
from apps.runs.errors import DomainError, RetryableError
from apps.runs.selectors import in_journal

from .. import services
from ..choices import MessageOutcome
from .agent import AgentSpec
from .parse import MessageError, parse
from .schemas import Message

# Who sent a message that does not say so.
UNNAMED = "unnamed"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Delivery:
    """A message as the bus gave it: the decoded JSON, an id that is the same whenever it is delivered, and its queue.

    `delivery_id` stands for the id of a message that has none. `again`: the bus has delivered it before. `headers` are the
    transport's own, on ActiveMQ those that are about an answer.
    """

    body: Any
    delivery_id: UUID
    queue: str = ""
    again: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Again:
    """A message that could not be handled now, and why; it must be delivered again later."""

    reason: str


Result = Message | Again | None


def receive_batch(agent: AgentSpec, deliveries: Sequence[Delivery]) -> list[Result]:
    """Handle messages in the order given; what became of each.

    All at once if none was here before and none fails. Otherwise one by one, so that each has its own attempts and a bad one
    harms no other.

    Returns:
        Per delivery: the message when its handler has run, now or before; None when it was parked or is not this
        agent's; `Again`.
    """
    messages = [parsed(delivery) for delivery in deliveries]
    own = [message for message in messages if message and type(message) in agent.handlers]
    is_first = not any(delivery.again for delivery in deliveries)
    try:
        done = {message.msg_id for message in own} if is_first and _handled_at_once(agent, own) else set()
    except DatabaseError as error:
        return [Again(str(error))] * len(deliveries)
    results: list[Result] = []
    for message, delivery in zip(messages, deliveries, strict=True):
        if message and message.msg_id in done:
            results.append(message)
            continue
        try:
            results.append(
                receive(agent, delivery.body, delivery_id=delivery.delivery_id, again=delivery.again)
            )
        except RetryableError as error:
            results.append(Again(str(error)))
        except DatabaseError as error:
            # It is away for all the others too: each would wait for it in vain.
            return results + [Again(str(error))] * (len(deliveries) - len(results))
    return results


def receive(agent: AgentSpec, body: Any, *, delivery_id: UUID, again: bool = False) -> Message | None:
    """Handle one message, with its attempts counted.

    Args:
        body: the decoded JSON.
        delivery_id: stands for the id of a message that has none; the same on every delivery of it.
        again: it was delivered before. If that was not counted, it is now.

    Returns:
        The message when its handler has run, now or before; None when it was parked or is not this agent's.

    Raises:
        RetryableError, OperationalError, InterfaceError: it could not be handled now; deliver it again later.
    """
    try:
        message = parse(body, fallback_id=delivery_id)
    except MessageError as error:
        _park(agent, body, str(error), delivery_id)
        return None
    attempt = services.begin(
        agent.name,
        msg_id=message.msg_id,
        msg_type=message.msg_type,
        run_number=message.run_number,
        earlier=int(again),
    )
    if attempt.finished:
        return message
    if attempt.number > services.MAX_ATTEMPTS:
        last = attempt.last_failure or "it ended its worker"
        _park(
            agent, body, f"given up after {services.MAX_ATTEMPTS} attempts; the last: {last}", message.msg_id
        )
        return None
    if type(message) not in agent.handlers:
        services.finish(agent.name, message.msg_id, outcome=MessageOutcome.IGNORED)
        return None
    try:
        with transaction.atomic():
            _handle(agent, [message])
            if type(message) in agent.passing:
                services.forget(agent.name, message.msg_id)
            else:
                services.finish(agent.name, message.msg_id)
    except DomainError as error:
        _park(agent, body, str(error), message.msg_id)
        return None
    except (OperationalError, InterfaceError):
        raise
    except RetryableError as error:
        services.note_failure(agent.name, message.msg_id, str(error))
        raise
    except Exception as error:
        # A handler's bug: tried again, in case it depends on the moment, and parked when it does not.
        log.exception("%s failed on %s %s", agent.name, message.msg_type, message.msg_id)
        reason = f"{type(error).__name__}: {error}"
        services.note_failure(agent.name, message.msg_id, reason)
        raise RetryableError(reason) from error
    return message


def parsed(delivery: Delivery) -> Message | None:
    """The message, or None when it cannot be understood."""
    try:
        return parse(delivery.body, fallback_id=delivery.delivery_id)
    except MessageError:
        return None  # `receive` parks it, with the reason


def _handled_at_once(agent: AgentSpec, messages: Sequence[Message]) -> bool:
    """Whether these were new and have been handled, all in one transaction."""
    if not messages or len({message.msg_id for message in messages}) < len(messages):
        return False
    try:
        with transaction.atomic():
            if agent.lock_first and len(messages) > 1:
                agent.lock_first(messages)
            _handle(agent, messages)
            services.note_handled(agent.name, [one for one in messages if type(one) not in agent.passing])
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:  # noqa: BLE001 - whose fault it is shows when they are taken one by one
        log.info("%s takes %d messages one by one: %s", agent.name, len(messages), error)
        return False
    return True


def _handle(agent: AgentSpec, messages: Sequence[Message]) -> None:
    """Run the handlers, each on its message's account."""
    own = in_journal(message.msg_id for message in messages if not message.was_named)
    for kind, in_a_row in groupby(messages, key=type):
        alike = list(in_a_row)
        causes = [_cause(agent, message, is_own=message.msg_id in own) for message in alike]
        if kind in agent.bulk_handlers and len(alike) > 1:
            agent.bulk_handlers[kind](alike, causes)
            continue
        for message, cause in zip(alike, causes, strict=True):
            with journal.because_of(cause):
                message.answer = agent.handlers[kind](message) or {}


def _cause(agent: AgentSpec, message: Message, *, is_own: bool) -> journal.Cause:
    heard = None if is_own else journal.Heard(message.msg_type, message.msg_id, message.sender or UNNAMED)
    return journal.Cause(agent.name, message.correlation_id or message.msg_id, message.msg_id, heard)


def _park(agent: AgentSpec, body: Any, reason: str, msg_id: UUID) -> None:
    log.warning("%s parks a message: %s", agent.name, reason)
    with journal.acting_as(agent.name):
        services.park(agent.name, body, reason, msg_id=msg_id)
