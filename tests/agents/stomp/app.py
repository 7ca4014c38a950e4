"""A Celery application on `stomp://`, for a real worker: what its tasks did is in the file `WITNESS`, a line each."""

from __future__ import annotations

import json
import os
import time
from typing import Any

from celery import Celery
from celery.exceptions import Reject
from kombu import Exchange, Queue
from kombu.common import Broadcast

from apps.agents.bus.stomp import register

register()
WORK = os.environ["QUEUE"]
# Of this worker alone: it is given what is said on the topic by anybody.
FEED = f"/queue/Agent.{WORK}.epictopic"
news = Exchange("news", type="topic")
epictopic = Exchange("epictopic", type="topic")
# Imported by tests too, where the testbed's own application must stay the current one.
app = Celery(
    "stomp-test", broker=os.environ["BROKER"], backend=os.environ.get("BACKEND"), set_as_current=False
)
app.conf.update(
    broker_heartbeat=int(os.environ.get("HEARTBEAT", "10")),
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    broker_use_ssl=json.loads(os.environ.get("BROKER_SSL", "null")),
    broker_transport_options={
        "exchanges": {"news": "topic", "epictopic": "topic", "everybody": "fanout"},
        "foreign": {
            "feed": {
                "task": "document",
                "destination": FEED,
                "only": {"msg_type": ["stf_gen", "stf_ready"]},
            },
        },
        "poison_task": "poison",
        "foreign_exchanges": {
            "epictopic": {"destination": "/topic/epictopic", "headers": ["msg_type", "namespace", "run_id"]}
        },
    },
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_default_queue=WORK,
    task_queues=[
        Queue(WORK, durable=True),
        Queue("readers", news, routing_key="stf.#", durable=True),
        Queue("feed", epictopic, routing_key="#", durable=True),
        Broadcast("everybody", exchange=Exchange("everybody", type="fanout")),
    ],
    worker_prefetch_multiplier=4,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    worker_send_task_events=True,
    task_publish_retry_policy={
        "max_retries": 60,
        "interval_start": 0.1,
        "interval_step": 0.1,
        "interval_max": 0.5,
    },
)


def witness(*words: object) -> None:
    """Write a line that survives whatever becomes of this process."""
    line = json.dumps([time.time(), *words]) + "\n"
    handle = os.open(os.environ["WITNESS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(handle, line.encode())
    os.close(handle)


@app.task(name="note", shared=False)
def note(value: object, seconds: float = 0.0) -> object:
    """Be seen, and take some time."""
    time.sleep(seconds)
    witness("note", value)
    return value


@app.task(name="add", shared=False)
def add(left: int, right: int) -> int:
    """A sum, for canvas."""
    return left + right


@app.task(name="total", shared=False)
def total(numbers: list[int]) -> int:
    """The end of a chord."""
    witness("total", sum(numbers))
    return sum(numbers)


@app.task(name="third_time", shared=False, bind=True, max_retries=5)
def third_time(self: Any) -> int:
    """Succeed at the third attempt."""
    witness("try", self.request.retries)
    if self.request.retries < 2:
        raise self.retry(countdown=0.2)
    return int(self.request.retries)


@app.task(name="refuse", shared=False, bind=True)
def refuse(self: Any, value: str, requeue: bool) -> None:
    """Put back once, or refuse for good."""
    redelivered = self.request.delivery_info["redelivered"]
    witness("refuse", value, redelivered)
    if not requeue or not redelivered:
        raise Reject("as told", requeue=requeue)


@app.task(name="document", shared=False, bind=True)
def document(self: Any, body: Any) -> None:
    """What a plain JSON message becomes."""
    witness("document", body, self.request.id)


@app.task(name="poison", shared=False)
def poison(text: str, reason: str) -> None:
    """What a message becomes that is no JSON."""
    witness("poison", text, reason)
