"""The example agent and the parts of the client against a real web server on PostgreSQL, which is killed and comes back."""

from __future__ import annotations

import json
import logging
import signal
import threading
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from itertools import islice
from pathlib import Path
from time import monotonic

import pytest
from django.core.management import call_command
from django.utils import timezone
from swf_client import Agent, Away, LogHandler, Refused, Rest
from swf_client.state import State

from apps.agents.models import AppLog, Subscriber, SystemAgent
from apps.runs.models import JournalEntry
from apps.runs.selectors import newest_position
from tests.factories import a_running_run
from tests.web import PATIENCE, Web

from .conftest import a_token, example, ready, said
from .test_logs import eventually

pytestmark = [
    pytest.mark.services,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("exit_buffer"),
]

NAME = "example-agent-ann-1"


def is_connected() -> bool:
    return SystemAgent.objects.filter(
        instance_name=NAME, operational_state="READY", counters__mq_connected=True
    ).exists()


def has_handled_all(state: Path) -> bool:
    """Whether the agent has asked for what follows on the last STF that is ready."""
    last = JournalEntry.objects.filter(kind="stf_ready").latest("position").position
    handled: int | None = json.loads(state.read_text()).get("last_event_id")
    return last is not None and handled is not None and handled >= last


def test_the_example_is_known_takes_messages_and_takes_its_leave(web: Web, tmp_path: Path) -> None:
    run, state = a_running_run(), tmp_path / "state.json"
    with example(web.url, a_token(), state) as agent:
        eventually(is_connected)
        assert Subscriber.objects.get(subscriber_name=NAME).message_filters == {"msg_types": ["stf_ready"]}

        expected = ready(run, 1, 2)
        eventually(lambda: said(about="is ready") == expected)
        assert {log.run_number for log in AppLog.objects.filter(message__contains="is ready")} == {
            run.run_number
        }

        # It counts what it has logged.
        eventually(lambda: has_handled_all(state))
        agent.send_signal(signal.SIGTERM)
        assert agent.wait(PATIENCE) == 0
    left = SystemAgent.objects.get(instance_name=NAME)
    assert (left.status, left.operational_state) == ("EXITED", "EXITED")
    assert left.counters["total_stf_processed"] == 2


def got_token(*words: str) -> str:
    """A token of ann, as the command gives it."""
    out = StringIO()
    call_command("get_token", "ann", "--create-user", *words, stdout=out, stderr=StringIO())
    return out.getvalue().strip()


@pytest.mark.parametrize("bound", [False, True])
def test_the_documented_commands_let_it_in(web: Web, tmp_path: Path, *, bound: bool) -> None:
    run = a_running_run()
    here = ["--namespace", run.namespace.name]
    token = got_token(*(here if bound else []))
    call_command("access", "ann", "--role", "agent", *here, stdout=StringIO())

    with example(web.url, token, tmp_path / "state.json"):
        eventually(is_connected)
        expected = ready(run, 1)
        eventually(lambda: said(about="is ready") == expected)


def test_without_a_role_it_ends_and_says_which(web: Web, tmp_path: Path) -> None:
    with example(web.url, got_token(), tmp_path / "state.json") as agent:
        _, error = agent.communicate(timeout=PATIENCE)

    assert agent.returncode == 1
    assert "this needs the role agent" in error


def test_server_and_agent_are_killed_and_no_message_is_lost(web: Web, tmp_path: Path) -> None:
    run = a_running_run()
    token, state = a_token(), tmp_path / "state.json"
    with example(web.url, token, state) as agent:
        eventually(is_connected)
        expected = ready(run, 1)
        eventually(lambda: said(about="is ready") == expected)

        web.kill()
        expected += ready(run, 2, 3)
        web.start()
        eventually(lambda: said(about="is ready") == expected)

        agent.kill()
    expected += ready(run, 4)
    with example(web.url, token, state):
        eventually(lambda: expected[-1] in said(about="is ready"))

    # One that was in hand when the agent was killed comes again.
    assert list(dict.fromkeys(said(about="is ready"))) == expected
    assert SystemAgent.objects.filter(agent_type="example").count() == 1


@pytest.mark.parametrize(
    ("expires", "token", "words"),
    [
        (None, "", "SWF_API_TOKEN is not set"),
        (None, "swf_wrong", "this token is unknown"),
        (timedelta(milliseconds=500), "", "this token expired"),
    ],
    ids=["missing", "unknown", "expired"],
)
def test_without_a_good_token_it_ends_and_says_why(
    web: Web, tmp_path: Path, expires: timedelta | None, token: str, words: str
) -> None:
    if expires:
        end = timezone.now() + expires
        token = a_token(expires_at=end)
        eventually(lambda: timezone.now() > end)
    with example(web.url, token, tmp_path / "state.json") as agent:
        _, error = agent.communicate(timeout=PATIENCE)
    assert agent.returncode == 1
    assert words in error
    assert "Traceback" not in error


def test_a_post_that_is_sent_again_has_its_effect_once(rest: Rest) -> None:
    asked = [rest.post("state/next-agent-id/", key="one")["agent_id"] for _ in range(3)]
    assert asked == [1, 1, 1]
    assert rest.post("state/next-agent-id/")["agent_id"] == 2


def test_reasons_come_by_field(rest: Rest) -> None:
    with pytest.raises(Refused, match="operational_state") as refusal:
        rest.post("systemagents/heartbeat/", {"instance_name": "a", "operational_state": "HAPPY"})
    assert list(refusal.value.errors) == ["operational_state"]


def test_a_testbed_whose_database_is_away_is_asked_again(
    transactional_db: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The first answer of a process may take long; there is no time for a second one.
    monkeypatch.setattr("swf_client.rest.TIMEOUT_SECONDS", PATIENCE)
    web = Web(tmp_path / "web.log", DATABASE_URL="postgresql://nobody@127.0.0.1:1/nothing")
    web.start()
    asking = Rest(web.url, a_token(), patience=0.0)
    try:
        for ask in (lambda: asking.get("runs/"), lambda: asking.post("logs/", [])):
            with pytest.raises(Away, match="the database does not answer") as away:
                ask()
            assert away.value.retry_after == 2
    finally:
        web.kill()


@pytest.fixture
def logger(rest: Rest) -> Iterator[logging.Logger]:
    """A logger of this test alone that logs to the testbed."""
    handler = LogHandler(rest, "example", NAME)
    found = logging.Logger("of the test")
    found.addHandler(handler)
    yield found
    handler.close()


def test_a_thousand_log_records_arrive_in_order(logger: logging.Logger) -> None:
    for nth in range(1000):
        logger.info("%d", nth)
    logger.handlers[0].flush()
    assert said() == [str(nth) for nth in range(1000)]


def test_log_records_outlive_ten_seconds_without_a_server(
    web: Web, logger: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("swf_client.web.RETRY_MOST_SECONDS", 1.0)
    between = threading.Event()
    logger.info("0")
    eventually(said)
    web.kill()

    begun, count = monotonic(), 1
    while monotonic() - begun < 10:
        logger.info("%d", count)
        count += 1
        between.wait(0.01)
    web.start()

    eventually(lambda: len(said()) >= count)
    assert said() == [str(nth) for nth in range(count)]


def failing(rest: Rest, state: Path) -> None:
    """An agent that is ended by an error while it has the first message in hand."""
    with Agent("Example", rest, state_file=state) as agent:
        for event in agent.events(["stf_ready"]):
            raise ZeroDivisionError(f"in the middle of {event.data['sequence']}")


def test_a_message_in_hand_when_an_error_ends_the_agent_comes_again(rest: Rest, tmp_path: Path) -> None:
    run, path = a_running_run(), tmp_path / "state.json"
    ready(run)
    with State(path) as state:
        state.put("last_event_id", newest_position())
    ready(run, 1, 2)

    with pytest.raises(ZeroDivisionError, match="middle of 1"):
        failing(rest, path)
    ended = SystemAgent.objects.get(agent_type="example")
    assert (ended.status, ended.description) == (
        "EXITED",
        "ended by ZeroDivisionError: in the middle of 1",
    )
    assert any("Traceback" in message for message in said(about="ended by an error"))

    with Agent("Example", rest, state_file=path) as agent:
        assert agent.name == ended.instance_name
        assert [event.data["sequence"] for event in islice(agent.events(["stf_ready"]), 2)] == [1, 2]
