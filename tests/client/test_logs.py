"""The handler of logs against a server that comes and goes: who logs never waits, and what is lost is counted."""

from __future__ import annotations

import http.server
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from swf_client import LogHandler, Rest, logs, web

from apps.agents.models import AppLog

from .server import NOBODY, Server, answers

PATIENCE = 120.0


class Keeper:
    """Keeps records as the testbed does: a batch as a whole or not at all, one with a known key not again."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []
        self.batches: list[int] = []
        self.troubles: list[int] = []
        self._keys: set[str] = set()
        self._guard = threading.Lock()

    def __call__(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        asked = self.server.asked[-1]
        with self._guard:
            status = self.troubles.pop(0) if self.troubles else 201
            if any("poison" in record["message"] for record in asked.body):
                status = 400
            if status in {201, 504} and asked.headers["idempotency-key"] not in self._keys:
                # A proxy that gives up does not stop what is behind it.
                self._keys.add(asked.headers["idempotency-key"])
                self.records += asked.body
                self.batches.append(len(asked.body))
        answers(status)(handler)

    @property
    def said(self) -> list[str]:
        return [record["message"] for record in self.records]

    def __enter__(self) -> Keeper:
        self.server = Server(otherwise=self)
        self.server.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self.server.__exit__()


@pytest.fixture
def keeper(monkeypatch: pytest.MonkeyPatch) -> Iterator[Keeper]:
    monkeypatch.setattr(web, "RETRY_FIRST_SECONDS", 0.001)
    with Keeper() as running:
        yield running


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """A logger of this test alone; its handlers are closed in the end."""
    found = logging.Logger("of the test")
    yield found
    for handler in found.handlers:
        handler.close()


def handler_of(keeper: Keeper, logger: logging.Logger, **options: Any) -> LogHandler:
    handler = LogHandler(Rest(keeper.server.url), "example", "example-agent-ann-1", **options)
    logger.addHandler(handler)
    return handler


def eventually(condition: Any) -> None:
    """Wait until the condition holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_record_says_what_there_is_to_say(keeper: Keeper, logger: logging.Logger) -> None:
    handler = handler_of(keeper, logger)
    try:
        raise ValueError("why")
    except ValueError:
        logger.exception("no %s", "good", extra={"run_id": 100010, "path": sys})
    handler.flush()

    (record,) = keeper.records
    assert record["app_name"] == "example"
    assert record["instance_name"] == "example-agent-ann-1"
    assert record["timestamp"].endswith("+00:00")
    assert (record["level"], record["levelname"]) == (40, "ERROR")
    assert record["message"].startswith("no good\nTraceback")
    assert record["message"].endswith("ValueError: why")
    assert (record["module"], record["funcname"]) == (
        "test_logs",
        "test_a_record_says_what_there_is_to_say",
    )
    assert record["extra_data"] == {"run_id": 100010, "path": str(sys)}


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("a\0b", "a\\x00b"),
        ("/data/\udcff.stf", "/data/\\udcff.stf"),
        ("Zürich \U0001f600", "Zürich \U0001f600"),
        (float("nan"), "nan"),
        (-float("inf"), "-inf"),
        (2**80, str(2**80)),
        ([1, "\0"], "[1, '\\x00']"),
        (True, True),
        (1.5, 1.5),
        (None, None),
    ],
)
def test_what_no_database_takes_is_sent_as_python_writes_it(
    keeper: Keeper, logger: logging.Logger, said: Any, kept: Any
) -> None:
    handler = handler_of(keeper, logger)
    logger.info("%s", said, extra={"said": said})
    handler.flush()

    (record,) = keeper.records
    assert record["extra_data"] == {"said": kept}
    assert record["message"] == str(kept)


def test_a_testbed_takes_all_of_it(rest: Rest, logger: logging.Logger) -> None:
    handler = LogHandler(rest, "example", "example-agent-ann-1")
    logger.addHandler(handler)
    for nth in range(200):
        logger.info("%d", nth, extra={"raw": f"\0 {nth}", "path": "\udcff", "ratio": float("nan")})
    handler.close()

    assert AppLog.objects.filter(extra_data__raw__startswith="\\x00 ").count() == 200


def test_a_thousand_records_come_in_order_in_few_requests(
    keeper: Keeper, logger: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A batch that is not full is waited for, however long the machine has other things to do.
    monkeypatch.setattr(logs, "GATHER_SECONDS", PATIENCE)
    handler = handler_of(keeper, logger)
    for nth in range(1000):
        logger.info("%d", nth)
    handler.flush()

    assert keeper.said == [str(nth) for nth in range(1000)]
    assert len(keeper.server.asked) == 2


@settings(max_examples=25)
@given(
    troubles=st.lists(st.sampled_from([201, 401, 429, 500, 502, 503, 504]), max_size=12),
    bursts=st.lists(st.integers(0, 700), min_size=1, max_size=4),
)
def test_nothing_is_lost_or_doubled_whatever_the_server_says(troubles: list[int], bursts: list[int]) -> None:
    logger, sent = logging.Logger("of the test"), 0
    with pytest.MonkeyPatch.context() as patch, Keeper() as keeper:
        patch.setattr(web, "RETRY_FIRST_SECONDS", 0.001)
        patch.setattr(logs, "RETRY_MOST_SECONDS", 0.001)
        patch.setattr(logs, "GATHER_SECONDS", 0.0)
        keeper.troubles = list(troubles)
        handler = handler_of(keeper, logger)
        for burst in bursts:
            for _ in range(burst):
                logger.info("%d", sent)
                sent += 1
            handler.flush()
        handler.close()

    assert keeper.said == [str(nth) for nth in range(sent)]


def test_who_logs_does_not_wait_for_a_server_that_says_nothing(logger: logging.Logger) -> None:
    held = threading.Event()

    def late(handler: http.server.BaseHTTPRequestHandler) -> None:
        held.wait(PATIENCE)
        answers(201)(handler)

    with Server(otherwise=late) as server:
        handler = LogHandler(Rest(server.url), "example", "example-agent-ann-1")
        logger.addHandler(handler)
        logger.info("first")
        eventually(lambda: server.asked)
        begun = time.monotonic()
        for nth in range(1000):
            logger.info("%d", nth)
        # The client itself gives up waiting after ten seconds.
        assert time.monotonic() - begun < 5
        held.set()
        handler.close()


def test_the_oldest_are_dropped_and_counted_when_there_are_too_many(
    keeper: Keeper, logger: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "GATHER_SECONDS", 0.0)
    # Asked again soon, however long it was away.
    monkeypatch.setattr(web, "RETRY_MOST_SECONDS", 0.1)
    keeper.troubles = [503] * 10_000
    handler = handler_of(keeper, logger, kept_records=100)
    logger.info("in hand")
    eventually(lambda: keeper.server.asked)
    for nth in range(350):
        logger.info("%d", nth)
    keeper.troubles = []
    handler.flush()

    first, note, *others = keeper.records
    assert first["message"] == "in hand"
    assert note["extra_data"] == {"dropped": 250}
    assert (note["level"], note["message"].split()[0]) == (30, "250")
    assert [record["message"] for record in others] == [str(nth) for nth in range(250, 350)]


def test_a_record_that_is_refused_takes_no_other_with_it(
    keeper: Keeper, logger: logging.Logger, capfd: pytest.CaptureFixture[str]
) -> None:
    handler = handler_of(keeper, logger)
    for nth in range(100):
        logger.info("poison" if nth == 37 else "%d", *(() if nth == 37 else (nth,)))
    handler.flush()

    # It comes with the next batch, which there is if the machine was busy while these were logged.
    [note] = [record for record in keeper.records if "dropped" in record["extra_data"]]
    others = [record for record in keeper.records if record is not note]
    assert [record["message"] for record in others] == [str(nth) for nth in range(100) if nth != 37]
    assert note["extra_data"] == {"dropped": 1}
    assert "refuses log records" in capfd.readouterr().err


def test_a_record_that_cannot_be_formatted_hurts_nobody(
    keeper: Keeper, logger: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    handler = handler_of(keeper, logger)
    logger.info("%d", "no number")
    logger.info("fine")
    handler.flush()
    assert keeper.said == ["fine"]


def test_without_a_good_token_standard_error_is_told_once_and_records_wait(
    keeper: Keeper,
    logger: logging.Logger,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logs, "RETRY_MOST_SECONDS", 0.01)
    keeper.troubles = [401, 401, 401]
    handler = handler_of(keeper, logger)
    logger.info("one")
    handler.flush()

    assert keeper.said == ["one"]
    assert capfd.readouterr().err.count("refuses log records") == 1


PROGRAM = """
import logging, sys
from swf_client import LogHandler, Rest, logs
logs.LAST_WORD_SECONDS = float(sys.argv[2])
logging.getLogger().addHandler(LogHandler(Rest(sys.argv[1]), "example", "example-agent-ann-1"))
for nth in range(700):
    logging.warning("%d", nth)
"""


def ended(url: str, last_word: float) -> tuple[str, float]:
    """What a program that logs and ends says on standard error, and after how long it has ended.

    It spends `last_word` seconds at most on sending what it has when it ends.
    """
    begun = time.monotonic()
    command = [sys.executable, "-c", PROGRAM, url, str(last_word)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=2 * PATIENCE)
    assert done.returncode == 0
    return done.stderr, time.monotonic() - begun


def test_a_process_sends_everything_before_it_ends(keeper: Keeper) -> None:
    said, _ = ended(keeper.server.url, last_word=PATIENCE)
    assert keeper.said == [str(nth) for nth in range(700)]
    assert not said


def test_a_process_ends_though_the_server_is_away_and_says_what_is_lost() -> None:
    said, seconds = ended(NOBODY, last_word=1.0)
    assert said == f"example-agent-ann-1: 700 log records were not sent to {NOBODY}\n"
    # The client alone would go on for a minute.
    assert seconds < 30
