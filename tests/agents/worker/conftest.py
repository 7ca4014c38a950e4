"""Each bus as workers see it, and a TF file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from django.conf import settings as django_settings
from kombu import Connection

from apps.agents.bus import pgmq, slices
from apps.agents.bus.topology import slices_queue, use_plain_messages
from apps.stf.container.writer import StfSpec, write_stf
from services.base import Engine
from swf_site.celery import app
from swf_site.settings import broker as broker_settings
from tests import database
from tests.agents.stomp.conftest import url_of

from .process import Listener, WorkerProcess


@pytest.fixture
def bus_url(transactional_db: None, request: pytest.FixtureRequest) -> str:
    """The address of the bus that is the parameter."""
    if request.param == "pgmq":
        pgmq.install()
        return database.address("pgmq")
    engine: Engine = request.getfixturevalue(request.param)
    return url_of(engine) if engine.name == "activemq" else engine.environment()["BROKER_URL"]


@pytest.fixture
def bus(bus_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connection]:
    """The bus, used by this process in a namespace of its own; its slices are gone afterwards."""
    monkeypatch.setattr(django_settings, "SWF_NAMESPACE", f"n{uuid4().hex[:8]}")
    monkeypatch.setenv("CELERY_BROKER_WRITE_URL", bus_url)
    monkeypatch.setitem(app.conf, "broker_url", bus_url)
    options = broker_settings.transport_options(bus_url, django_settings.SWF_NAMESPACE)
    monkeypatch.setitem(app.conf, "broker_transport_options", options)
    use_plain_messages(app)
    slices._sender.close()
    with app.connection_for_write() as made:
        slices_queue()(made.default_channel).declare()
        yield made
        with suppress(*made.connection_errors):  # a test may have killed the broker
            slices_queue()(made.default_channel).delete()
    slices._sender.close()


@pytest.fixture
def listener(bus: Connection) -> Iterator[Listener]:
    one = Listener(bus)
    yield one
    with suppress(*bus.connection_errors):
        one.close()


@pytest.fixture
def a_worker(bus_url: str, listener: Listener, tmp_path: Path) -> Iterator[Callable[..., WorkerProcess]]:
    """Starts workers, which end with the test."""
    made: list[WorkerProcess] = []

    def start(*arguments: str, **broker: str) -> WorkerProcess:
        made.append(WorkerProcess(tmp_path, broker or {"BROKER_URL": bus_url}, listener))
        return made[-1].start(*arguments)

    yield start
    for one in made:
        one.kill()


@pytest.fixture
def tf_file(tmp_path: Path) -> Path:
    """A file of the TFs 100 to 119."""
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    spec = StfSpec(
        run_number=1,
        sequence=1,
        seed=1,
        size_bytes=100_000,
        tf_first=100,
        tf_count=20,
        begin=begin,
        end=begin + timedelta(seconds=1),
        state="run",
        substate="physics",
    )
    return write_stf(tmp_path / "one_tf_000.tf", spec, durable=False).path
