"""`manage.py worker` on every bus: a process with no database takes slices and says what is in them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from kombu import Connection, Queue

from apps.agents.bus.parse import parse
from apps.agents.bus.topology import is_plain, worker_queue
from apps.agents.worker.processing import summary
from swf_site.celery import app

from .process import Gate, Listener, WorkerProcess, a_slice, broadcast, send, wait_until

pytestmark = [
    pytest.mark.services,
    pytest.mark.timeout(600),
    pytest.mark.parametrize("bus_url", ["pgmq", "rabbitmq", "activemq"], indirect=True),
]

Start = Callable[..., WorkerProcess]


def test_slices_are_processed_and_given_back_with_what_is_in_them(
    a_worker: Start, listener: Listener, tf_file: Path
) -> None:
    worker = a_worker()
    given = [a_slice(tf_file, first, first + 3) for first in range(100, 120, 4)]
    send(*given)
    results = wait_until(lambda: len(listener.results()) == 5 and listener.results(), what="five results")

    for sent, result in zip(given, results, strict=True):
        parse(result)
        assert (result["sender"], result["run_id"]) == (worker.worker_id, sent["run_id"])
        assert result["causation_id"] == sent["msg_id"]
        content, inner = result["content"], result["content"]["result"]["result"]
        assert (content["state"], content["worker_id"], content["error"]) == ("done", worker.worker_id, None)
        assert inner["req_id"] == sent["content"]["req_id"]
        assert summary(str(tf_file), inner["start"], inner["end"]) == {
            name: inner[name] for name in ("tfs", "hits", "hits_by_detector", "missing_tfs")
        }


def test_its_heartbeats_say_that_it_is_ready_then_that_it_has_ended(
    a_worker: Start, listener: Listener
) -> None:
    worker = a_worker()
    wait_until(lambda: len(listener.heartbeats(worker.worker_id)) >= 2, what="a second heartbeat")
    worker.terminate()
    assert worker.wait()["reason"] == "SIGTERM"

    listener.wait_heartbeat(worker.worker_id, status="ended")
    beats = listener.heartbeats(worker.worker_id)
    for beat in beats:
        parse(beat)
    assert (beats[0]["status"], beats[0]["pid"]) == ("ready", worker.process.pid)
    assert (beats[-1]["status"], beats[-1]["reason"]) == ("ended", "SIGTERM")


def test_told_to_end_it_finishes_what_it_has_in_hand_and_leaves_the_rest(
    a_worker: Start, listener: Listener, bus: Connection, tf_file: Path, tmp_path: Path
) -> None:
    worker, gate = a_worker(), Gate(tmp_path)
    first, second = send(a_slice(tf_file, 100, 101, payload=gate.payload), a_slice(tf_file, 102, 103))
    busy = listener.wait_heartbeat(worker.worker_id, status="busy")
    assert (busy["req_id"], busy["attempt"]) == (first, 1)
    worker.terminate()
    listener.wait_heartbeat(worker.worker_id, status="stopping")
    gate.open()

    assert worker.wait()["done"] == 1, worker.log()
    wait_until(lambda: listener.counts()[first], what="the result of what it had in hand")
    assert listener.counts() == {first: 1}
    other = a_worker("--max-slices", "1")
    assert other.wait()["done"] == 1
    wait_until(lambda: listener.counts()[second], what="the result of the rest")
    assert listener.counts() == {first: 1, second: 1}


def test_a_slice_whose_worker_was_killed_is_left_to_its_lease(
    a_worker: Start, listener: Listener, tf_file: Path, tmp_path: Path
) -> None:
    victim = a_worker()
    never = Gate(tmp_path).payload
    first, second = send(a_slice(tf_file, 100, 101, payload=never), a_slice(tf_file, 102, 103))
    listener.wait_heartbeat(victim.worker_id, req_id=first)
    victim.kill()
    (left,) = (tmp_path / "scratch" / "slices").iterdir()
    a_worker()
    assert not left.exists()
    wait_until(lambda: listener.counts()[second], what="the other slice is done")
    again = a_slice(tf_file, 100, 101, req_id=first, attempt=2)
    send(again)
    wait_until(lambda: listener.counts()[first], what="the slice is done, given out again")
    assert listener.counts() == {first: 1, second: 1}


def test_what_is_no_slice_harms_no_other(a_worker: Start, listener: Listener, tf_file: Path) -> None:
    a_worker()
    wrong = a_slice(tf_file, 100, 101)
    del wrong["content"]["start"]
    missing, corrupt, good = (
        a_slice("/nowhere.tf", 1, 2),
        a_slice(tf_file, 100, 101, payload="'"),
        a_slice(tf_file, 100, 101),
    )
    send(wrong, missing, corrupt, good)
    results = wait_until(lambda: len(listener.results()) == 3 and listener.results(), what="three results")

    assert [one["content"]["state"] for one in results] == ["failed", "failed", "done"]
    assert "No such file" in results[0]["content"]["error"]
    assert "no command line" in results[1]["content"]["error"]


def test_it_leaves_when_no_slice_comes(a_worker: Start, bus: Connection) -> None:
    assert a_worker("--idle-timeout", "1").wait()["reason"] == "no slice came for 1 s"


def test_of_those_who_hear_the_call_to_stop_the_ones_that_are_meant_leave(
    a_worker: Start, listener: Listener, tf_file: Path
) -> None:
    one, other = a_worker(), a_worker()
    broadcast("stop_transformer", content={"worker_ids": []})
    broadcast("stop_transformer", content={"worker_ids": [one.worker_id]})
    assert one.wait()["reason"] == "stop_transformer"
    [still] = send(a_slice(tf_file, 100, 101))
    wait_until(lambda: listener.counts()[still], what="the other one takes a slice")
    broadcast("stop_transformer", run_id="100010")
    assert other.wait()["reason"] == "stop_transformer"


def test_nothing_of_a_worker_stays_that_has_left(a_worker: Start, bus: Connection) -> None:
    if is_plain(app):
        pytest.skip("ActiveMQ keeps nothing for a worker")
    worker = a_worker()
    queue = worker_queue(worker.worker_id)
    assert _exists(bus, queue)
    worker.terminate()
    worker.wait()
    assert not _exists(bus, queue)


def _exists(bus: Connection, queue: Queue) -> bool:
    with bus.channel() as channel:
        try:
            queue(channel).queue_declare(passive=True)
        except bus.channel_errors:
            return False
        return True


def test_many_workers_share_slices_and_each_is_done_once(
    a_worker: Start, listener: Listener, tf_file: Path, tmp_path: Path
) -> None:
    workers, gates = [a_worker() for _ in range(2)], [Gate(tmp_path) for _ in range(2)]
    # Two that take until each worker has one of them: else one that is quick could have done all.
    long = [a_slice(tf_file, 100, 101, payload=gate.payload) for gate in gates]
    sent = send(*long, *(a_slice(tf_file, first, first + 1) for first in range(100, 118) for _ in range(10)))
    for worker in workers:
        listener.wait_heartbeat(worker.worker_id, status="busy")
    for gate in gates:
        gate.open()
    wait_until(lambda: len(listener.results()) >= len(sent), what="a result of each", seconds=120)

    assert listener.counts() == dict.fromkeys(sent, 1)
    assert {one["sender"] for one in listener.results()} == {one.worker_id for one in workers}
