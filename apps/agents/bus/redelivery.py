"""Whether a bus has delivered a message before."""

from __future__ import annotations

from kombu import Message


def was_delivered(message: Message) -> bool:
    """Whether it has, to this process or another, which may have died of it.

    RabbitMQ and ActiveMQ flag such a message, PGMQ counts. A message that comes for the first time is never flagged; of one
    that comes again the flag is lost when the broker itself has started again in between.
    """
    info = message.delivery_info
    return bool(info.get("redelivered")) or info.get("pgmq_message", {}).get("read_ct", 1) > 1
