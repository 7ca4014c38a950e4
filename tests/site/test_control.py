"""What remote control understands, and what it does without a broker."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any

import pytest

from swf_site.cli import main
from swf_site.cli.control import Controller, NotJsonError, Request, parse
from swf_site.cli.home import Home


def said(**fields: Any) -> Request:
    return parse(json.dumps(fields).encode(), {})


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ([], r"the message must be an object with the field command, not \[\]$"),
        ({}, "command must be one of start_testbed, stop_testbed, restart, status, ping, not null"),
        ({"command": "dance"}, 'command must be one of .* not "dance"'),
        ({"command": ["ping"]}, r'command must be one of .* not \["ping"\]'),
        ({"command": "start_testbed", "config_name": 7}, "config_name must be text, not 7"),
        ({"command": "ping", "reply_to": 7}, "reply_to must be /queue/NAME, .* not 7"),
        ({"command": "ping", "reply_to": "/exchange/x"}, 'reply_to .* not "/exchange/x"'),
        ({"command": "ping", "reply_to": "/queue/a,b"}, "reply_to"),
        ({"command": "ping", "reply_to": "/topic/>"}, "reply_to"),
        ({"command": "ping", "reply_to": "two\nlines"}, "reply_to"),
    ],
)
def test_what_is_wrong_is_named_with_what_is_possible(home: Home, body: Any, problem: str) -> None:
    request = parse(json.dumps(body).encode(), {"reply-to": "/queue/answers"})
    assert request.reply_to == "/queue/answers"
    assert not request.changes
    answer = Controller(home, "alice").answer(request)
    assert answer["status"] == "error"
    assert re.match(problem, answer["message"])


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe\xfd", b'{"command": NaN}', b"[" * 100_000])
def test_what_is_no_json_is_no_request(body: bytes) -> None:
    with pytest.raises(NotJsonError):
        parse(body, {})


@pytest.mark.parametrize(
    ("field", "header", "destination"),
    [
        ("answers", None, "/queue/answers"),
        ("/topic/answers.alice", "/queue/other", "/topic/answers.alice"),
        (None, "/remote-temp-queue/ID:host-1:1:1", "/remote-temp-queue/ID:host-1:1:1"),
        (None, None, None),
    ],
)
def test_the_answer_goes_where_the_message_or_its_header_says(
    field: str | None, header: str | None, destination: str | None
) -> None:
    headers = {} if header is None else {"reply-to": header}
    request = parse(json.dumps({"command": "ping", "reply_to": field}).encode(), headers)
    assert (request.reply_to, request.problem) == (destination, None)


def test_every_answer_says_what_it_answers(home: Home) -> None:
    request = parse(b'{"command": "ping", "msg_id": 7}', {"correlation-id": "c"})
    answer = Controller(home, "alice").answer(request)
    assert datetime.fromisoformat(answer.pop("timestamp")).tzinfo is not None
    assert answer == {
        "command": "ping",
        "msg_id": 7,
        "correlation_id": "c",
        "username": "alice",
        "status": "alive",
    }


def test_the_status_of_nothing(home: Home) -> None:
    answer = Controller(home, "alice").answer(said(command="status"))
    assert (answer["status"], answer["ready"], answer["supervisord_status"]) == ("ok", False, "stopped")
    assert answer["agents_running"] == answer["programs"] == answer["engines"] == []


def test_stopping_nothing_is_no_error_and_an_unused_name_is_told(home: Home) -> None:
    answer = Controller(home, "alice").answer(said(command="stop_testbed", config_name="night"))
    assert answer["status"] == "ok"
    assert answer["message"].startswith("stopped nothing")
    assert 'config_name "night" is not used' in answer["message"]


def test_a_failure_is_an_answer_with_its_reason(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWF_WEB_PORT", "none")
    for command in ("start_testbed", "restart"):
        answer = Controller(home, "alice").answer(said(command=command))
        assert answer["status"] == "error"
        assert "SWF_WEB_PORT='none'" in answer["message"]


def test_an_error_of_ours_is_an_answer_too(home: Home) -> None:
    (home.directory / "start.lock").mkdir()
    answer = Controller(home, "alice").answer(said(command="restart"))
    assert answer["status"] == "error"
    assert answer["message"].startswith("unexpected IsADirectoryError")


def test_without_activemq_the_manager_says_how_to_have_it(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["agent-manager"]) == 1
    message = capsys.readouterr().err
    assert "the bus of" in message
    assert "--bus activemq" in message
    assert "ACTIVEMQ_HOST" in message


@pytest.mark.parametrize("user", ["", "a b", "alice,bob", "../alice", ">"])
def test_who_is_no_user_has_no_queue(home: Home, capsys: pytest.CaptureFixture[str], user: str) -> None:
    assert main(["agent-manager", "--user", user]) == 1
    assert "no login name" in capsys.readouterr().err
