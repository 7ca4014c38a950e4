"""What an agent keeps over its restarts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from swf_client import Rest, StateInUse
from swf_client.identity import agent_name, state_path
from swf_client.state import State

from .server import Server, answers

WRITER = """
import itertools, pathlib, sys
from swf_client.state import State
with State(pathlib.Path(sys.argv[1])) as state:
    for nth in itertools.count():
        state.put("n", nth)
        print(nth, flush=True)
"""


def test_values_are_there_again(tmp_path: Path) -> None:
    path = tmp_path / "deeper" / "state.json"
    with State(path) as state:
        assert state.get("agent_id") is None
        state.put("agent_id", 4)
        state.put("last_event_id", 10)
    with State(path) as state:
        assert (state.get("agent_id"), state.get("last_event_id")) == (4, 10)


@pytest.mark.parametrize("damage", ["", "{", "[]"])
def test_a_damaged_file_counts_as_none(tmp_path: Path, damage: str) -> None:
    (tmp_path / "state.json").write_text(damage)
    with State(tmp_path / "state.json") as state:
        assert state.get("agent_id") is None


def test_a_killed_process_leaves_what_it_has_said_and_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout
        for _ in range(200):
            said = int(writer.stdout.readline())
        with pytest.raises(StateInUse, match="SWF_AGENT_STATE"), State(path):
            pass
        writer.kill()
        said = int([said, *writer.stdout.read().split()][-1])
    with State(path) as state:
        assert said <= state.get("n") <= said + 1


def test_an_agent_keeps_its_name(tmp_path: Path) -> None:
    with Server(answers(200, b'{"status": "success", "agent_id": 7}')) as server:
        for _ in range(2):
            with State(tmp_path / "state.json") as state:
                name = agent_name(Rest(server.url), state, "Example", "ann")
                assert name == "example-agent-ann-7"
        assert len(server.asked) == 1


def test_types_users_and_testbeds_have_files_of_their_own() -> None:
    home = {"XDG_STATE_HOME": "/home/ann/state"}
    one, other = Rest("http://127.0.0.1:8000"), Rest("https://testbed.example.org")
    paths = {
        state_path(one, "data", "ann", home),
        state_path(other, "data", "ann", home),
        state_path(one, "fastmon", "ann", home),
        state_path(one, "data", "bob", home),
    }
    assert len(paths) == 4
    assert {path.parent for path in paths} == {Path("/home/ann/state/swf-client")}
    assert state_path(one, "data", "ann", {"SWF_AGENT_STATE": "/srv/a.json"}) == Path("/srv/a.json")
