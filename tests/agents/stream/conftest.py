"""A feed of the journal, and the stream that it feeds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from apps.agents.stream.endpoint import MessageStream
from apps.runs.live import listen
from apps.runs.live.feed import Feed


@pytest.fixture
def feed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Feed]:
    monkeypatch.setattr(listen, "STOP_SECONDS", 0.05)
    running = Feed()
    yield running
    running.stop()


@pytest.fixture
def stream(feed: Feed) -> MessageStream:
    made = MessageStream(feed=feed)
    feed.start()
    return made
