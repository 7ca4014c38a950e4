"""Parked messages that are given to their agent again, as if they had just come."""

from __future__ import annotations

from collections.abc import Callable

from .. import selectors, services
from .agent import AgentSpec
from .receive import receive
from .schemas import Message


def replay_next(agent: AgentSpec, *, handled: Callable[[Message], None]) -> bool:
    """Give the agent the oldest of its letters whose replay is asked for; True when there was one.

    The letter is then replayed, or parked again. It stays asked for when it could not be handled now, until its attempts
    are used up. Killed in between, it is given again, and its effect is still once: the inbox knows it by its id.

    Args:
        handled: called with the message when its handler has run.

    Raises:
        RetryableError, DatabaseError: as `receive`.
    """
    letter = selectors.next_replay(agent.name)
    if letter is None:
        return False
    message = receive(agent, letter.decoded_body, delivery_id=letter.msg_id)
    services.finish_replay(letter)
    if message is not None:
        handled(message)
    return True
