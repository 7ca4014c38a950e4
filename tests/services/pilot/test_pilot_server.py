"""The pilot's side of PanDA's protocol, over HTTP: what is answered, refused and not answered at all."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from services.base import REPOSITORY, Engine
from services.panda.pilot.errors import Away, Code, JobFailed
from services.panda.pilot.job import File, Job
from services.panda.pilot.server import PandaServer
from services.panda.tokens import pilot_token
from services.ports import LOOPBACK

RECORDED = REPOSITORY / "tests" / "data" / "panda" / "recorded_exchanges.jsonl"


class Recorder(BaseHTTPRequestHandler):
    """Answers what the test has prepared, and keeps what it was asked."""

    status = 200
    answer: Any = None
    asked: list[tuple[str, dict[str, str], str]] = []

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        type(self).asked.append((self.path, dict(self.headers), self.rfile.read(length).decode()))
        body = self.answer if isinstance(self.answer, bytes) else json.dumps(self.answer).encode()
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self.do_POST()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def recorder() -> Iterator[type[Recorder]]:
    class Own(Recorder):
        asked: list[tuple[str, dict[str, str], str]] = []
        port = 0

    with ThreadingHTTPServer((LOOPBACK, 0), Own) as server:
        Own.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield Own
        server.shutdown()
        thread.join()


@pytest.fixture
def server(recorder: Any, tmp_path: Path) -> PandaServer:
    token = tmp_path / "token"
    token.write_text("a.b.c\n")
    return PandaServer(f"http://{LOOPBACK}:{recorder.port}", token)


def recorded(method: str) -> list[dict[str, Any]]:
    """What a real server has answered to this method."""
    if not RECORDED.exists():
        pytest.skip("the recordings of a real PanDA server are missing")
    exchanges = [json.loads(line) for line in RECORDED.read_text().splitlines()]
    return [json.loads(one["resp"]) for one in exchanges if one["p"].endswith(method)]


def test_job_of_a_real_server_is_understood(server: PandaServer, recorder: Any) -> None:
    recorder.answer = next(one for one in recorded("pilot/acquire_jobs") if one["success"])
    described = server.acquire(queue="E1_BNL", node="n1", label="test")
    assert described is not None
    job = Job.of(described)
    assert (job.panda_id, job.attempt, job.memory_mb, job.disk_mb, job.wall_seconds) == (
        10,
        1,
        1800,
        300,
        86400,
    )
    assert job.inputs == ()
    assert job.outputs == (File("user.alice", "user.alice.7._000001.myout.txt"),)
    assert job.log == File("user.alice", "user.alice.pfn2.log.7.000001.log.tgz")
    (path, headers, body) = recorder.asked[0]
    assert path == "/api/v1/pilot/acquire_jobs"
    assert headers["Authorization"] == "Bearer a.b.c"
    assert headers["Origin"] == "EIC.production"
    assert json.loads(body) == {"site_name": "E1_BNL", "prod_source_label": "test", "node": "n1", "n_jobs": 1}


def test_no_jobs_is_an_answer(server: PandaServer, recorder: Any) -> None:
    recorder.answer = {"success": False, "message": "No jobs in PanDA", "data": None}
    assert server.acquire(queue="E1_BNL", node="n1", label="test") is None


@pytest.mark.parametrize(("command", "may_go_on"), [("NULL", True), ("tobekilled", False)])
def test_command_comes_with_the_answer(
    server: PandaServer, recorder: Any, command: str, *, may_go_on: bool
) -> None:
    recorder.answer = {"success": True, "message": "", "data": {"StatusCode": 0, "command": command}}
    assert server.update({"job_id": 1}) is may_go_on


def test_state_of_a_job(server: PandaServer, recorder: Any) -> None:
    recorder.answer = recorded("pilot/get_job_status")[0]
    assert server.status(11) == ("running", 1)


@pytest.mark.parametrize(
    ("status", "answer", "words"),
    [
        (403, b"ERROR : Token authentication failed. Invalid token.", "Token authentication failed"),
        (500, b"oops", "PanDA refuses pilot/update_job: oops"),
        (200, b"<html>", "not answer in JSON"),
        (
            200,
            {"success": False, "message": "Invalid job status: x", "data": {"StatusCode": 50}},
            "Invalid job",
        ),
    ],
)
def test_what_is_no_answer_has_a_reason(
    server: PandaServer, recorder: Any, status: int, answer: Any, words: str
) -> None:
    recorder.status, recorder.answer = status, answer
    with pytest.raises(Away, match=words):
        server.update({"job_id": 1})


def test_silent_server_and_missing_token_have_a_reason(tmp_path: Path) -> None:
    token = tmp_path / "token"
    server = PandaServer(f"http://{LOOPBACK}:9", token)
    with pytest.raises(Away, match="token cannot be read"):
        server.status(1)
    token.write_text("a.b.c")
    with pytest.raises(Away, match=r"does not answer at http://127\.0\.0\.1:9: .*refused"):
        server.status(1)


def test_sandbox_is_fetched_once(server: PandaServer, recorder: Any) -> None:
    recorder.answer = b"archive"
    source = f"http://{LOOPBACK}:{recorder.port}"
    assert [server.sandbox(source, "jobO.1.tar.gz") for _ in range(3)] == [b"archive"] * 3
    assert [path for path, _, _ in recorder.asked] == ["/cache/jobO.1.tar.gz"]


@pytest.mark.parametrize(("status", "error"), [(404, JobFailed), (503, Away)])
def test_sandbox_that_is_not_there(
    server: PandaServer, recorder: Any, status: int, error: type[Exception]
) -> None:
    recorder.status, recorder.answer = status, b""
    with pytest.raises(error, match=r"jobO\.1\.tar\.gz") as raised:
        server.sandbox(f"http://{LOOPBACK}:{recorder.port}", "jobO.1.tar.gz")
    assert getattr(raised.value, "code", Code.SANDBOX) == Code.SANDBOX


@pytest.mark.services
def test_embedded_server_gives_a_pilot_nothing_when_there_is_nothing(panda: Engine) -> None:
    base = panda.environment()["PANDA_URL_SSL"].removesuffix("/server/panda")
    server = PandaServer(base, pilot_token(panda.directory))
    assert server.acquire(queue="nowhere", node="n1", label="user") is None
    assert server.update({"job_id": 10**9, "job_status": "running", "attempt_nr": 1}) is False
    assert server.status(10**9) == ("not found", 0)
