"""`manage.py relay`: the outbox relay in the foreground."""

from __future__ import annotations

import signal
import threading
from typing import Any

from celery import current_app
from django.core.management.base import BaseCommand
from django.utils import timezone

from apps.agents import services
from apps.agents.bus.agent import LoopSpec
from apps.agents.bus.loop import Loop, keep_connections, why_waiting
from apps.agents.bus.relay import Publisher, backlog, sequence
from apps.agents.bus.runtime import HEARTBEAT_SECONDS
from apps.agents.bus.topology import use_plain_messages
from apps.runs.journal import CHANNEL
from apps.runs.live.listen import Listener

NAME = "relay"
# Each commit wakes the relay; under load, what commits within so long goes in one batch.
GATHER_SECONDS = 0.02


class Command(BaseCommand):
    help = (
        "Publish the journal: number committed entries, tell the live pages, send them to the bus in order. "
        "Runs until SIGTERM. One per database; a second one does no harm."
    )
    requires_system_checks = ()  # `prepare_database` makes them at every start; they load all pages and REST

    def handle(self, *args: Any, **options: Any) -> None:
        keep_connections()
        use_plain_messages(current_app)
        publisher = Publisher()
        publishing = Loop(LoopSpec("publish", publisher.step, gather=GATHER_SECONDS), actor=NAME)

        def number_and_publish() -> bool:
            more = sequence()
            publishing.wake()
            return more

        sequencing = Loop(LoopSpec("sequence", number_and_publish, gather=GATHER_SECONDS), actor=NAME)
        started_at = timezone.now()

        def beat() -> bool:
            services.beat(
                NAME,
                agent_type="RELAY",
                started_at=started_at,
                waiting_for=why_waiting((sequencing, publishing)),
                counters={"to_be_published": backlog()},
            )
            return False

        heartbeat = Loop(LoopSpec("heartbeat", beat, interval=HEARTBEAT_SECONDS), actor=NAME)
        listener = Listener(CHANNEL, lambda _: sequencing.wake())
        stopping = threading.Event()
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, lambda *_: stopping.set())
        threads = (listener, sequencing, publishing, heartbeat)
        for thread in threads:
            thread.start()
        stopping.wait()
        for thread in threads:
            thread.stop()
        for thread in threads:
            thread.join(10.0)
        publisher.close()
        services.agent_exited(NAME)
