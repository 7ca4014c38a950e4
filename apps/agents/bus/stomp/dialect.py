"""What differs between brokers that speak STOMP: the names of destinations, and headers beyond the standard."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from .frames import Frame, StompError

# ActiveMQ reads these in a destination's name as syntax: options, lists, wildcards.
_SYNTAX = re.compile(r"[%,?*>\s]")
_SYNTAX_AND_DOT = re.compile(r"[%,?*>\s.]")


def _literal(pattern: re.Pattern[str], name: str) -> str:
    return pattern.sub(lambda match: f"%{ord(match[0]):02X}", name)


@dataclass(frozen=True)
class QueueStatistics:
    """A queue, or the sum of the broker's queues that feed it.

    `in_flight` of the `length` messages are with a consumer. `oldest_age_seconds` is None for an empty queue.
    """

    length: int
    in_flight: int
    consumers: int
    oldest_age_seconds: float | None

    @property
    def ready(self) -> int:
        """Messages that no consumer has."""
        return self.length - self.in_flight


def total(parts: Iterable[QueueStatistics]) -> QueueStatistics:
    """The sum, with the highest age."""
    found = list(parts)
    return QueueStatistics(
        length=sum(one.length for one in found),
        in_flight=sum(one.in_flight for one in found),
        consumers=sum(one.consumers for one in found),
        oldest_age_seconds=max((one.oldest_age_seconds or 0.0 for one in found if one.length), default=None),
    )


@dataclass(frozen=True)
class Classic:
    """ActiveMQ Classic: virtual topics, its prefetch and scheduler headers, its statistics plugin.

    `prefix` sets the topics of one installation apart from those of others on the same broker.
    """

    prefix: str = "celery"

    def queue(self, name: str) -> str:
        """Destination of the queue `name`."""
        return f"/queue/{_literal(_SYNTAX, name)}"

    def topic(self, exchange: str, routing_key: str = "") -> str:
        """Where messages of an exchange go; in a fanout exchange, all have the empty routing key."""
        key = _literal(_SYNTAX, routing_key)
        return f"/topic/{self._topic(exchange)}.{key or '_'}"

    def topic_pattern(self, exchange: str, binding_key: str = "") -> str:
        """What a binding reads of it.

        Raises:
            ValueError: `#` elsewhere than at the end: ActiveMQ has no such wildcard.
        """
        words = [word if word in ("*", "#") else _literal(_SYNTAX, word) for word in binding_key.split(".")]
        if "#" in words[:-1]:
            raise ValueError(f"binding key {binding_key!r}: ActiveMQ knows '#' at the end only")
        # "a.#" takes "a" as well, and so does ActiveMQ's "a.>".
        key = ".".join(">" if word == "#" else word for word in words)
        return f"/topic/{self._topic(exchange)}.{key or '_'}"

    def durable(self, queue: str, topic_pattern: str) -> str:
        """The broker's queue that keeps for `queue` what comes on the topics that `topic_pattern` names."""
        topic = topic_pattern.removeprefix("/topic/")
        return f"/queue/Consumer.{_literal(_SYNTAX_AND_DOT, queue)}.{topic}"

    def _topic(self, exchange: str) -> str:
        return f"VirtualTopic.{self.prefix}.{_literal(_SYNTAX_AND_DOT, exchange)}"

    def dead_letters(self, destination: str) -> str:
        """Where rejected messages of a destination go, under `individualDeadLetterStrategy queuePrefix="DLQ."`."""
        return f"/queue/DLQ.{destination.removeprefix('/queue/')}"

    def prefetch(self, size: int) -> dict[str, object]:
        """Headers of SUBSCRIBE for at most `size` unacknowledged messages; 0 for the broker's default."""
        return {"activemq.prefetchSize": size} if size else {}

    def delayed(self, seconds: float) -> dict[str, object]:
        """Headers of SEND for a message that is to arrive later."""
        return {"AMQ_SCHEDULED_DELAY": max(1, int(seconds * 1000))}

    def priority(self, amqp: int) -> int | None:
        """JMS's 4 is what a message has that says nothing, AMQP's is 0."""
        return min(9, 4 + (amqp + 1) // 2) if amqp > 0 else None

    statistics_inbox: ClassVar[str] = "/temp-queue/statistics"
    statistics_headers: ClassVar[Mapping[str, object]] = {"transformation": "jms-map-json"}

    def ask_statistics(self, destination: str) -> tuple[str, dict[str, object]]:
        """Destination and headers of the question; the answers end with one that is empty."""
        asked = "ActiveMQ.Statistics.Destination"
        return f"/queue/{asked}.{destination.removeprefix('/queue/')}", {
            f"{asked}.Include.First.Message.Timestamp": "true",
            f"{asked}.List.End.With.Null": "true",
            "reply-to": self.statistics_inbox,
        }

    def read_statistics(self, frame: Frame) -> tuple[str, QueueStatistics] | None:
        """Destination and numbers of one answer, None for the last, which is empty.

        Raises:
            StompError: it is no answer of the statistics plugin.
        """
        try:
            content = json.loads(frame.body)["map"]
            if not content:
                return None
            entries = dict(_entry(entry) for entry in content["entry"])
            oldest, now = entries.get("firstMessageTimestamp"), int(frame.headers["timestamp"])
            return "/queue/" + entries["destinationName"].removeprefix("queue://"), QueueStatistics(
                length=entries["size"],
                in_flight=entries["inflightCount"],
                consumers=entries["consumerCount"],
                oldest_age_seconds=max(0, now - oldest) / 1000 if oldest and entries["size"] else None,
            )
        except (ValueError, LookupError, TypeError) as error:
            raise StompError(f"statistics that make no sense ({error!r}): {frame.body[:200]!r}") from None


def _entry(entry: dict[str, Any]) -> tuple[str, Any]:
    """XStream writes {"string": "size", "long": 3}, and {"string": ["brokerName", "swf"]} for texts."""
    texts = entry.pop("string")
    return (texts, next(iter(entry.values()))) if isinstance(texts, str) else (texts[0], texts[1])
