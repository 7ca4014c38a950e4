"""Every recorded request again, with ids of this server: the replies are compared field by field."""

from __future__ import annotations

import gzip
import json
import time
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.panda.contract.conftest import Server
from tests.panda.contract.recorded import compare, differences, exchanges
from tests.panda.world import poll

pytestmark = pytest.mark.services

RECORDED = exchanges()
# The real server's calls to itself: it registers an uploaded file with the one that has the database, and wakes JEDI.
# No client makes them, and this server, which needs neither, forbids them as any other method.
NOT_REPLAYED = {7: "job/reassign", 28: "file_server/register_cache_file"}
REPLAYED: set[int] = set()


class Replay:
    """One task, as recorded, and its three jobs."""

    def __init__(self, server: Server, name: str) -> None:
        self.server = server
        self.name = name
        self.parameters = {**json.loads(RECORDED[1].body)["task_parameters"], "taskName": name}
        self.response = self.send(1, body=self._submission())
        self.task_id = int(self.response.json()["data"])

    def send(
        self, number: int, *, body: dict[str, Any] | None = None, query: str | None = None
    ) -> httpx.Response:
        """A recorded request, with another body or query."""
        REPLAYED.add(number)
        one = RECORDED[number]
        api = self.server.pilot if one.headers.get("Origin") == "EIC.production" else self.server.user
        headers = dict(one.headers)
        if "Origin" in headers:
            headers["Authorization"] = api.http.headers["Authorization"]
        content = one.body if body is None else json.dumps(body)
        with httpx.Client(headers={"Accept": "*/*"}, timeout=60) as http:
            url = f"{self.server.base}{one.path}?{one.query if query is None else query}".rstrip("?")
            return http.request(one.verb, url, headers=headers, content=content)

    def same(self, number: int, *, body: dict[str, Any] | None = None, query: str | None = None) -> Any:
        """Send it and fail on any difference; returns the reply's data."""
        response = self.send(number, body=body, query=query)
        assert compare(RECORDED[number], response, self.server.name) == []
        return response.json()["data"] if response.text.startswith('{"') else None

    def again(self) -> httpx.Response:
        """The second submission."""
        return self.send(2, body=self._submission())

    def wait(self, *states: str) -> None:
        """Until the task is in one of these states."""
        self.server.user.wait(self.task_id, *states)

    def wait_for_jobs(self) -> list[int]:
        """Ids of the task's three jobs, once they are in the queue."""

        def queued() -> list[int] | None:
            jobs = self.server.user.jobs(self.task_id)
            return (
                [job["PandaID"] for job in jobs]
                if [j["jobStatus"] for j in jobs] == ["activated"] * 3
                else None
            )

        found: list[int] = poll(queued)
        return found

    def _submission(self) -> dict[str, Any]:
        return {"task_parameters": self.parameters, "parent_tid": None}


@pytest.fixture
def replay(server: Server) -> Iterator[Replay]:
    one = Replay(server, f"user.alice.api.{time.time_ns()}/")
    yield one
    server.user.post("task/kill", task_id=one.task_id)


def test_the_life_of_a_task_is_told_in_the_same_words(replay: Replay) -> None:
    accepted = {**RECORDED[1].replied(replay.server.name), "data": replay.task_id}
    assert differences(accepted, replay.response.json(), "reply") == []
    _duplicate(replay)
    _too_early(replay)
    this = f"task_id={replay.task_id}"
    submitted = replay.same(4, query=this)
    assert submitted["taskName"] == replay.name
    jobs = replay.wait_for_jobs()
    _same_shape(replay, 5, f"{this}&include_parameters=True&include_status=True")
    listed = {**RECORDED[8].replied(""), "data": jobs}
    assert differences(listed, replay.send(8, query=this).json(), "reply") == []
    replay.same(9, body={"job_ids": jobs[1:2]})
    replay.same(10, body={"job_ids": jobs[1:2]})
    replay.same(11, query=f"{this}&unsuccessful_only=False")
    replay.same(12, query=this)
    replay.same(13, query=f"{this}&dataset_types=input&dataset_types=pseudo_input")
    _digest(replay)
    replay.same(15)
    for number in (16, 17, 18, 20):
        replay.same(number, body={"task_id": replay.task_id})
    replay.same(19, body={"task_id": replay.task_id, "increase": 3})
    replay.same(21, body={"job_id": jobs[1], "mode": True})
    assert replay.same(22, body={"job_ids": [jobs[1]]}) == [True]
    replay.same(24, body={"task_id": replay.task_id})
    replay.wait("aborted")
    replay.same(25, body={"task_id": replay.task_id})
    replay.same(26, body={"task_id": replay.task_id, "new_parameters": {"nFilesPerJob": 2}})


def test_finish_is_registered_in_the_same_words(replay: Replay) -> None:
    replay.wait_for_jobs()
    replay.same(23, body={"task_id": replay.task_id, "soft": True})


def test_an_unknown_task_is_told_in_the_same_words(replay: Replay) -> None:
    replay.same(30, query="task_id=987654321&include_parameters=True&include_status=True")


def test_a_pilot_is_answered_in_the_same_words(replay: Replay) -> None:
    jobs = replay.wait_for_jobs()
    # With the task's id: in this queue other tests have jobs as well.
    asked = {**json.loads(RECORDED[31].body), "task_id": replay.task_id}
    taken = replay.same(31, body=asked)["jobs"][0]["PandaID"]
    assert taken == jobs[0]
    said = {**json.loads(RECORDED[32].body), "job_id": taken}
    replay.same(32, body=said)
    replay.same(40, body={**json.loads(RECORDED[40].body), "job_id": taken})
    replay.same(41, query=f"job_ids={taken}")
    assert replay.same(42, query=f"job_ids={taken}&job_ids=987654321")[0]["job_id"] == taken
    replay.same(43, query=f"job_ids={taken}")
    for _ in jobs[1:]:
        replay.same(31, body=asked)
    replay.same(33, body=asked)
    replay.same(44)
    # The recorded one had met another pilot's update of the same node.
    response = replay.send(45)
    assert (
        differences({**RECORDED[45].replied(""), "message": ""}, {**response.json(), "message": ""}, "reply")
        == []
    )


def test_sandboxes_are_kept_with_the_same_words(replay: Replay) -> None:
    content = gzip.compress(uuid.uuid4().bytes)
    name = f"jobO.{uuid.uuid4()}.tar.gz"
    known = {"file_size": len(content), "checksum": int.from_bytes(content[-8:-4], "little")}
    replay.same(27, body=known)
    REPLAYED.add(29)
    headers = {"Accept": "application/json", "Origin": "EIC"}
    headers["Authorization"] = replay.server.user.http.headers["Authorization"]
    url = f"{replay.server.base}{RECORDED[29].path}"
    files = {"file": (name, content, "application/octet-stream")}
    response = httpx.post(url, headers=headers, files=files, timeout=60)
    assert compare(RECORDED[29], response, replay.server.name) == []
    found = replay.send(34, body=known).json()
    assert found["success"] is True
    assert found["message"].split(":")[0] == "FOUND"
    assert found["message"].split(":")[2] == name
    fetched = httpx.get(f"{replay.server.base}/cache/{name}", timeout=60)
    assert fetched.content == content


def test_who_asks_for_nothing_special_gets_text(replay: Replay) -> None:
    replay.same(0)
    replay.same(35)


def test_the_legacy_interface_is_forbidden_in_the_same_words(replay: Replay) -> None:
    for number in (36, 37, 38, 39):
        replay.same(number)


def test_the_first_states_have_the_same_form(replay: Replay) -> None:
    _same_shape(replay, 6, f"task_id={replay.task_id}")


def test_calls_of_the_real_server_to_itself_are_forbidden(server: Server) -> None:
    if not server.embedded:
        pytest.skip("a real server has them")
    for number, path in NOT_REPLAYED.items():
        response = server.pilot.http.post(path, content=RECORDED[number].body)
        assert (response.status_code, response.text) == (
            403,
            f"ERROR : method {path.partition('/')[2]} is forbidden",
        )


def test_every_recorded_request_has_been_replayed() -> None:
    if not REPLAYED:
        pytest.skip("the others have not been run")
    assert REPLAYED | NOT_REPLAYED.keys() == set(range(len(RECORDED)))


def _duplicate(replay: Replay) -> None:
    """The recorded one came before JEDI had seen the first; a moment later it is told with the task's state."""
    response = replay.again()
    if response.json()["data"] == 1:
        assert compare(RECORDED[2], response, replay.server.name) == []
    else:
        assert (response.json()["success"], response.json()["data"]) == (False, 2)
        state = response.json()["message"].split(" state ")[0].rsplit(" ", 1)[1]
        assert response.json()["message"].startswith(
            f"jediTaskID={replay.task_id} is in the {state} state for outDS={replay.name}. You can re-submit"
        )


def _too_early(replay: Replay) -> None:
    """The recorded one came before JEDI had seen the task."""
    response = replay.send(3, query=f"task_id={replay.task_id}")
    if response.json()["data"] is None:
        assert compare(RECORDED[3], response, replay.server.name) == []


def _same_shape(replay: Replay, number: int, query: str) -> None:
    """Of a task that was further, or not as far, only types are the same."""
    poll(lambda: replay.server.user.status(replay.task_id))
    response = replay.send(number, query=query).json()
    recorded = RECORDED[number].replied(replay.server.name)
    assert (response["success"], response["message"]) == (True, "")
    if isinstance(recorded["data"], str):
        assert isinstance(response["data"], str)
        return
    assert {k: type(v) for k, v in response["data"].items()} == {
        k: type(v) for k, v in recorded["data"].items()
    }


def _digest(replay: Replay) -> None:
    """Of all the user's tasks, this one."""
    data = replay.send(14).json()["data"]
    recorded = RECORDED[14].replied(replay.server.name)["data"]["8"]
    assert differences(recorded, data[str(replay.task_id)], "task") == []
    assert all(isinstance(one, dict) for one in data.values())
