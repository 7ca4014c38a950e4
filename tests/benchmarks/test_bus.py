"""The arithmetic of the comparison of buses; the measuring itself is `python -m benchmarks bus --quick`."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from benchmarks.bus.application import TASK, Moments, application
from benchmarks.bus.command import ratios
from benchmarks.bus.tasks import TaskRound
from benchmarks.numbers import percentile


def a_round(number: int, bus: str, tasks_per_second: float, *, pool: str = "prefork") -> TaskRound:
    return TaskRound(number, bus, pool, 500.0, tasks_per_second, 2.0, 5.0)


def test_a_ratio_is_the_median_of_those_of_neighbours_in_a_round() -> None:
    rounds = [
        *(a_round(1, "stomp", 300), a_round(1, "amqp", 100)),
        *(a_round(2, "stomp", 50), a_round(2, "amqp", 100), a_round(2, "pgmq", 1)),
        *(a_round(3, "stomp", 2200), a_round(3, "amqp", 2000)),
    ]

    assert ratios(rounds) == {
        "ratio_stomp_amqp": 1.1,
        "ratio_stomp_amqp_publish": 1.0,
        "ratio_stomp_amqp_p50": 1.0,
        "ratio_stomp_amqp_p99": 1.0,
    }


def test_without_rabbitmq_there_is_no_ratio() -> None:
    assert ratios([a_round(1, "stomp", 300), a_round(1, "pgmq", 100)]) == {}


@pytest.mark.parametrize(
    ("broker", "option"),
    [
        ("stomp://u:p@127.0.0.1:1//", "prefix"),
        ("amqp://u:p@127.0.0.1:1//", "confirm_publish"),
        ("pgmq://u:p@127.0.0.1:1/db", "conn_string"),
    ],
)
def test_every_bus_is_told_what_the_testbed_tells_it_but_no_heart_beat(
    broker: str, option: str, tmp_path: Path
) -> None:
    app = application(broker, "benchmark_solo", Moments.make(tmp_path / "moments", 1))

    assert app.conf.broker_url == broker
    assert app.conf.broker_transport_options[option]
    assert (app.conf.broker_transport_options["heartbeat"], app.conf.broker_heartbeat) == (0, 0)
    assert TASK in app.tasks


def test_percentiles() -> None:
    numbers = [float(n) for n in range(100)]

    assert [percentile(numbers, share) for share in (0.0, 0.5, 0.99, 1.0)] == [0.0, 50.0, 99.0, 99.0]
    assert percentile([], 0.5) == 0.0


def test_moments_are_shared_through_their_file(tmp_path: Path) -> None:
    ours = Moments.make(tmp_path / "moments", 3)
    theirs = Moments(tmp_path / "moments")
    before = time.monotonic_ns()
    theirs.note(1)

    first, second, third = ours.first(3)
    assert first == third == 0
    assert before <= second <= time.monotonic_ns()
    ours.clear()
    assert theirs.first(3) == [0, 0, 0]
