"""From AMQP's exchanges, queues and bindings to the broker's destinations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .dialect import Classic
from .foreign import Feed, Outlet


@dataclass
class Routes:
    """What one connection knows: the options of the transport, and what was declared on it.

    `exchange_types` come from the option `exchanges`, for producers that declare none, and from declarations.
    """

    dialect: Classic
    exchange_types: dict[str, str] = field(default_factory=dict)
    feeds: Mapping[str, Feed] = field(default_factory=dict)
    outlets: Mapping[str, Outlet] = field(default_factory=dict)
    durable_queues: set[str] = field(default_factory=set)
    receipt_timeout: float = 30.0
    eta_lead: float = 0.6
    has_statistics: bool = True

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Routes:
        """From kombu's `transport_options`."""
        poison = options.get("poison_task")
        return cls(
            Classic(options.get("prefix", "celery")),
            dict(options.get("exchanges", {})),
            {
                name: Feed(**{"poison_task": poison, **feed})
                for name, feed in options.get("foreign", {}).items()
            },
            {
                name: Outlet(
                    outlet["destination"], tuple(outlet.get("headers", ())), dict(outlet.get("fixed", {}))
                )
                for name, outlet in options.get("foreign_exchanges", {}).items()
            },
            receipt_timeout=float(options.get("receipt_timeout", 30)),
            eta_lead=float(options.get("eta_lead", 0.6)),
            has_statistics=bool(options.get("statistics", True)),
        )

    def own(self, queue: str) -> str:
        """Where a message goes that is for this queue alone, a task's retry for one."""
        feed = self.feeds.get(queue)
        if feed and feed.destination and feed.destination.startswith("/queue/"):
            return feed.destination
        return self.dialect.queue(queue)

    def broadcasts(self, exchange: str) -> bool:
        """Whether it hands copies to all queues that are bound: a fanout or topic exchange on the broker's topics."""
        return self.exchange_types.get(exchange) in ("fanout", "topic") and exchange not in self.outlets

    def target(self, exchange: str, routing_key: str) -> str:
        """Where to send what is published to a fanout or topic exchange."""
        is_fanout = self.exchange_types[exchange] == "fanout"
        return self.dialect.topic(exchange, "" if is_fanout else routing_key)

    def binding(self, queue: str, exchange: str, routing_key: str) -> str:
        """What to read for a queue that is bound to a fanout or topic exchange."""
        is_fanout = self.exchange_types[exchange] == "fanout"
        pattern = self.dialect.topic_pattern(exchange, "" if is_fanout else routing_key)
        return self.dialect.durable(queue, pattern) if queue in self.durable_queues else pattern

    def sources(self, queue: str, bindings: list[tuple[str, str]]) -> list[str]:
        """All that feeds a queue with these (exchange, routing key): one or more destinations to subscribe to."""
        bound = [self.binding(queue, *binding) for binding in bindings if self.broadcasts(binding[0])]
        feed = self.feeds.get(queue)
        if feed and feed.destination:
            bound.append(feed.destination)
        # Nobody sends to a transient queue by its name when it hears a broadcast, like those for remote control.
        own = [self.own(queue)] if queue in self.durable_queues or not bound else []
        return list(dict.fromkeys(own + bound))
