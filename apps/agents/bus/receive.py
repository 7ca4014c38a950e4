"""One message in, one effect: parse, count, handle, finish; or park with the reason."""

from __future__ import annotations

import logging
from typing import Any
from uuid import UUID

from django.db import InterfaceError, OperationalError, transaction

from apps.runs import journal
from apps.runs.errors import DomainError, RetryableError

from .. import services
from ..choices import MessageOutcome
from .agent import AgentSpec
from .parse import MessageError, parse
from .schemas import Message

log = logging.getLogger(__name__)


def receive(agent: AgentSpec, body: Any, *, delivery_id: UUID) -> Message | None:
    """Handle one message.

    Args:
        body: the decoded JSON.
        delivery_id: stands for the id of a message that has none; the same on every delivery of it.

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
        agent.name, msg_id=message.msg_id, msg_type=message.msg_type, run_number=message.run_number
    )
    if attempt.finished:
        return message
    if attempt.number > services.MAX_ATTEMPTS:
        last = attempt.last_failure or "it ended its worker"
        _park(
            agent, body, f"given up after {services.MAX_ATTEMPTS} attempts; the last: {last}", message.msg_id
        )
        return None
    handler = agent.handlers.get(type(message))
    if handler is None:
        services.finish(agent.name, message.msg_id, MessageOutcome.IGNORED)
        return None
    with journal.acting_as(
        agent.name,
        correlation_id=message.correlation_id or message.msg_id,
        causation_id=message.msg_id,
    ):
        try:
            with transaction.atomic():
                handler(message)
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


def _park(agent: AgentSpec, body: Any, reason: str, msg_id: UUID) -> None:
    log.warning("%s parks a message: %s", agent.name, reason)
    with journal.acting_as(agent.name):
        services.park(agent.name, body, reason, msg_id=msg_id)
