"""Slices on their way to the workers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from kombu import Connection

from apps.agents.bus import pgmq, slices
from apps.agents.bus.topology import slices_queue, worker_queue
from apps.runs.errors import RetryableError
from services.base import Engine
from swf_site.celery import app
from tests import database
from tests.agents.test_relay import use_broker
from tests.messages import a_message


@pytest.fixture
def broker(
    transactional_db: None, postgres: Engine, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Connection]:
    """The bus that is the parameter; what is sent to it is gone afterwards."""
    if request.param == "pgmq":
        pgmq.install()
        use_broker(monkeypatch, database.address("pgmq"))
    else:
        use_broker(monkeypatch, request.getfixturevalue(request.param).environment()["BROKER_URL"])
    with app.connection_for_write() as made:
        queue = slices_queue()(made.default_channel)
        queue.declare()
        queue.purge()  # of what other tests of this namespace have left
        yield made
        queue.delete()
    slices._sender.close()


def taken(broker: Connection) -> list[dict[str, Any]]:
    """The slices that wait, acknowledged."""
    queue, found = slices_queue()(broker.default_channel), []
    while message := queue.get():
        found.append(message.decode()[0][0])
        message.ack()
    return found


@pytest.mark.services
@pytest.mark.parametrize("broker", ["pgmq", "rabbitmq"], indirect=True)
class TestSlices:
    def test_wait_for_workers_in_their_order_under_our_namespace(self, broker: Connection) -> None:
        bodies = [a_message("slice", run_id=str(number), namespace="elsewhere") for number in range(5)]
        slices.send_slices(bodies)

        assert taken(broker) == [{**body, "namespace": settings.SWF_NAMESPACE} for body in bodies]

    def test_none_are_no_message(self, broker: Connection) -> None:
        slices.send_slices([])

        assert taken(broker) == []

    def test_a_worker_may_be_forgotten_that_never_was(self, broker: Connection) -> None:
        worker_queue("one")(broker.default_channel).declare()
        for _ in range(2):
            slices.forget_worker("one")


def test_a_broker_that_is_away_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = "pgmq://nobody:nothing@127.0.0.1:1/nowhere"
    use_broker(monkeypatch, nowhere, pool_timeout=0.2, max_retries=1, interval_start=0)
    slices._sender.close()
    with pytest.raises(RetryableError, match="the broker does not take messages: "):
        slices.send_slices([a_message("slice")])
