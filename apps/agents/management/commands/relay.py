"""`manage.py relay`: the outbox relay in the foreground."""

from __future__ import annotations

import signal
import threading
from typing import Any

from celery import current_app
from django.core.management.base import BaseCommand

from apps.agents.bus.agent import LoopSpec
from apps.agents.bus.loop import Loop, keep_connections
from apps.agents.bus.relay import Publisher, sequence
from apps.agents.bus.topology import use_plain_messages
from apps.runs.journal import CHANNEL
from apps.runs.live.listen import Listener

# Each commit wakes the relay; under load, what commits within so long goes in one batch.
GATHER_SECONDS = 0.02


class Command(BaseCommand):
    help = (
        "Publish the journal: number committed entries, tell the live pages, send them to the bus in order. "
        "Runs until SIGTERM. One per database; a second one does no harm."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        keep_connections()
        use_plain_messages(current_app)
        publisher = Publisher()
        publishing = Loop(LoopSpec("publish", publisher.step, gather=GATHER_SECONDS), actor="relay")

        def number_and_publish() -> bool:
            more = sequence()
            publishing.wake()
            return more

        sequencing = Loop(LoopSpec("sequence", number_and_publish, gather=GATHER_SECONDS), actor="relay")
        listener = Listener(CHANNEL, lambda _: sequencing.wake())
        stopping = threading.Event()
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, lambda *_: stopping.set())
        threads = (listener, sequencing, publishing)
        for thread in threads:
            thread.start()
        stopping.wait()
        for thread in threads:
            thread.stop()
        for thread in threads:
            thread.join(10.0)
        publisher.close()
