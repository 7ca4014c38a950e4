"""Celery itself on `stomp://`: a real worker, once for each kind of pool."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Thread

import pytest

from .client import client
from .conftest import Worker, eventually

pytestmark = [pytest.mark.services, pytest.mark.filterwarnings("ignore")]

PATIENCE = 60.0


@pytest.fixture(params=["solo", "threads", "prefork"])
def running(request: pytest.FixtureRequest, worker: Callable[..., Worker]) -> Worker:
    return worker(request.param)


def test_all_that_celery_offers(running: Worker) -> None:
    with client(running) as module:
        app = module.app

        # Canvas.
        assert module.add.delay(2, 3).get(timeout=PATIENCE) == 5
        assert (module.add.s(1, 1) | module.add.s(10)).delay().get(timeout=PATIENCE) == 12
        from celery import chord, group

        assert group(module.add.s(i, i) for i in range(5)).delay().get(timeout=PATIENCE) == [0, 2, 4, 6, 8]
        assert (
            chord((module.add.s(i, i) for i in range(5)), module.total.s()).delay().get(timeout=PATIENCE)
            == 20
        )

        # Retries, rejects.
        assert module.third_time.delay().get(timeout=PATIENCE) == 2
        module.refuse.delay("again", requeue=True)
        eventually(lambda: ["again", True] in running.seen("refuse"), what="the redelivery")
        assert ["again", False] in running.seen("refuse")

        # Remote control.
        control = app.control
        inspect = control.inspect(timeout=PATIENCE, limit=1)
        (found,) = inspect.ping()
        assert found.endswith(running.name)
        assert {queue["name"] for queue in inspect.active_queues()[found]} >= {
            running.environment["QUEUE"],
            "readers",
            "feed",
        }
        assert inspect.stats()[found]["broker"]["transport"] == "stomp"
        control.rate_limit("note", "100/s", destination=[found])
        reply = control.add_consumer("extra", reply=True, destination=[found], timeout=PATIENCE, limit=1)
        assert "ok" in reply[0][found]
        module.note.apply_async(["extra"], queue="extra")
        eventually(lambda: ["extra"] in running.seen("note"), what="the task on the added queue")
        reply = control.cancel_consumer("extra", reply=True, destination=[found], timeout=PATIENCE, limit=1)
        assert "ok" in reply[0][found]

        # Exchanges.
        app.send_task("note", ["topic"], exchange="news", routing_key="stf.ready.now")
        app.send_task("note", ["other topic"], exchange="news", routing_key="run.start")
        app.send_task("note", ["fanout"], exchange="everybody", routing_key="")
        eventually(lambda: ["topic"] in running.seen("note"), what="the topic")
        eventually(lambda: ["fanout"] in running.seen("note"), what="the fanout")

        # A countdown: on the broker first, in the worker's timer for the end.
        def took(value: str) -> float:
            began = time.time()
            module.note.apply_async([value], countdown=1.5)
            eventually(lambda: [value] in running.seen("note"), what="the countdown")
            return running.times("note")[-1] - began

        # A busy machine makes one of them late, not all.
        delays = [took("later")]
        while delays[-1] >= 2.5 and len(delays) < 10:
            delays.append(took(f"later {len(delays)}"))
        assert 1.5 <= min(delays) < 2.5
        assert ["other topic"] not in running.seen("note")

        # Events.
        events: list[str] = []
        with app.connection_for_read() as connection:
            receiver = app.events.Receiver(
                connection, handlers={"*": lambda event: events.append(event["type"])}
            )
            listener = Thread(
                target=lambda: receiver.capture(limit=None, timeout=None, wakeup=False), daemon=True
            )
            listener.start()
            eventually(lambda: (module.note.delay("event"), "task-succeeded" in events)[1], what="events")
            receiver.should_stop = True
            listener.join(PATIENCE)

        # The end.
        control.shutdown(destination=[found])
        eventually(lambda: running.process.poll() is not None, what="the remote shutdown")


def test_a_pool_that_grows_and_a_task_that_is_terminated(worker: Callable[..., Worker]) -> None:
    running = worker("prefork")
    with client(running) as module:
        control = module.app.control
        (found,) = control.inspect(timeout=PATIENCE, limit=1).ping()
        control.pool_grow(2, destination=[found], reply=True, timeout=PATIENCE, limit=1)

        def processes() -> int:
            return len(control.inspect(timeout=PATIENCE, limit=1).stats()[found]["pool"]["processes"])

        eventually(lambda: processes() == 4, what="the new processes, which Celery starts every 5 s")
        victim = module.note.delay("never", 60)
        eventually(
            lambda: any(control.inspect(timeout=PATIENCE, limit=1).active()[found]), what="the long task"
        )
        control.revoke(
            victim.id, terminate=True, signal="SIGKILL", destination=[found], reply=True, timeout=5
        )
        module.note.delay("after")
        eventually(lambda: ["after"] in running.seen("note"), what="the task after the revoked one")
        assert ["never"] not in running.seen("note")
