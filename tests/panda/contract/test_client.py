"""PanDA's real client, function by function, and prun."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.panda.contract.client import ClientProcess
from tests.panda.contract.conftest import Server
from tests.panda.contract.tasks import QUEUE, parameters
from tests.panda.world import poll

pytestmark = pytest.mark.services

Submit = Callable[..., int]
UNKNOWN = 987654321


@pytest.fixture
def submit(client: ClientProcess) -> Iterator[Submit]:
    """Submits a task and has it killed at the end of the test."""
    made: list[int] = []

    def one(count: int = 2, **changes: Any) -> int:
        status, (code, message) = client.call("insertTaskParams", parameters(count, **changes))
        assert (status, code) == (0, 0), message
        found = re.search(r"jediTaskID=(\d+)", message)
        assert found
        made.append(int(found[1]))
        return made[-1]

    yield one
    for task_id in made:
        client.call("killTask", task_id)


def wait(client: ClientProcess, task_id: int, *states: str) -> str:
    return str(poll(lambda: (now := client.call("getTaskStatus", task_id)[1]) in states and now))


def wait_for_jobs(client: ClientProcess, task_id: int, count: int, status: str = "activated") -> list[int]:
    def there() -> list[int]:
        jobs = client.call("get_job_descriptions", task_id)[1] or []
        ids = [job["PandaID"] for job in jobs if job["jobStatus"] == status]
        return ids if len(ids) == count else []

    ids: list[int] = poll(there)
    return ids


def take(server: Server, task_id: int) -> dict[str, Any]:
    """The next job of the task, for a pilot."""

    def asked() -> Any:
        return server.pilot.post(
            "pilot/acquire_jobs", site_name=QUEUE, prod_source_label="test", task_id=task_id
        )["data"]

    job: dict[str, Any] = poll(asked)["jobs"][0]
    return job


def say(server: Server, job: dict[str, Any], status: str, **more: Any) -> str:
    """A pilot's report; returns the command."""
    given = {"job_id": job["PandaID"], "attempt_nr": job["attemptNr"], "job_status": status, **more}
    reply = server.pilot.post("pilot/update_job", **given)
    return str(reply["data"]["command"])


def finish(server: Server, job: dict[str, Any]) -> None:
    say(server, job, "running")
    report = server.register(job)
    say(server, job, "finished", job_output_report=json.dumps(report), trans_exit_code=0)


def test_hello(client: ClientProcess) -> None:
    assert client.call("hello") == (0, "")


def test_a_task_is_submitted_once(client: ClientProcess, submit: Submit) -> None:
    given = parameters()
    task_id = submit(taskName=given["taskName"])
    status, (code, message) = client.call("insertTaskParams", {**given})
    assert status == 0
    assert code in (1, 2)
    assert f"jediTaskID={task_id} is " in message


def test_a_task_is_told_about(client: ClientProcess, submit: Submit, server: Server) -> None:
    task_id = submit()
    jobs = wait_for_jobs(client, task_id, 2)
    assert client.call("getTaskStatus", task_id) == (0, "running")
    status, details = client.call("getJediTaskDetails", {"jediTaskID": task_id}, True, True)
    assert (status, details["status"], details["cliParams"]) == (0, "running", "prun")
    status, (success, info) = client.call("get_task_details_json", task_id)
    assert (status, success, info["nFiles"], info["userName"]) == (0, True, 2, server.name)
    assert isinstance(info["modificationTime"], datetime)
    assert client.call("getTaskParamsMap", task_id)[1]["taskPriority"] == 1000
    assert sorted(client.call("getPandaIDsWithTaskID", task_id)[1]) == sorted(jobs)
    _, datasets = client.call("get_files_in_datasets", task_id)
    assert [len(one["files"]) for one in datasets] == [2]


def test_jobs_become_specifications(client: ClientProcess, submit: Submit) -> None:
    task_id = submit()
    jobs = wait_for_jobs(client, task_id, 2)
    for function in ("getJobStatus", "getFullJobStatus"):
        status, found = client.call(function, [jobs[1], jobs[0], UNKNOWN])
        assert status == 0
        assert [one and one["PandaID"] for one in found] == [jobs[1], jobs[0], None]
        assert {file["type"] for file in found[0]["Files"]} == {"pseudo_input", "output", "log"}


def test_what_has_changed_since(client: ClientProcess, submit: Submit) -> None:
    task_id = submit()
    wait_for_jobs(client, task_id, 2)
    ago = f"{datetime.now(UTC) - timedelta(minutes=10):%Y-%m-%d %H:%M:%S}"
    status, changed = client.call("getJobIDsJediTasksInTimeRange", ago, task_type="test")
    assert status == 0
    assert changed[str(task_id)]["status"] == "running"
    status, (detailed,) = client.call("get_tasks_detailed_info_since", ago, {"jediTaskID": str(task_id)})
    assert (status, detailed["jediTaskID"]) == (0, task_id)
    later = f"{datetime.now(UTC) + timedelta(minutes=10):%Y-%m-%d %H:%M:%S}"
    assert client.call("getJobIDsJediTasksInTimeRange", later, task_type="test") == (0, {})
    assert client.call("get_tasks_detailed_info_since", ago, '{"userName": "x"}') == (255, None)


def test_a_change_of_a_job_is_a_change_of_its_task(
    client: ClientProcess, submit: Submit, server: Server
) -> None:
    task_id = submit()
    wait_for_jobs(client, task_id, 2)
    before = client.call("get_task_details_json", task_id)[1][1]["modificationTime"]
    say(server, take(server, task_id), "running")
    assert client.call("get_task_details_json", task_id)[1][1]["modificationTime"] > before


def test_a_task_runs_to_its_end(client: ClientProcess, submit: Submit, server: Server) -> None:
    task_id = submit()
    for _ in range(2):
        finish(server, take(server, task_id))
    assert wait(client, task_id, "done", "finished", "failed") == "done"
    jobs = client.call("get_job_descriptions", task_id)[1]
    assert [job["jobStatus"] for job in jobs] == ["finished", "finished"]
    assert client.call("get_task_details_json", task_id)[1][1]["pctFinished"] == 100


def test_a_failed_job_is_tried_again_under_a_new_number(
    client: ClientProcess, submit: Submit, server: Server
) -> None:
    task_id = submit(1, maxAttempt=3)
    first = take(server, task_id)
    say(server, first, "failed", exe_error_code=1, exe_error_diag="payload ended with 1")
    second = take(server, task_id)
    assert second["PandaID"] > first["PandaID"]
    assert (first["attemptNr"], second["attemptNr"]) == (1, 2)
    assert second["outFiles"] != first["outFiles"]
    (told,) = client.call("getFullJobStatus", [first["PandaID"]])[1]
    assert (told["jobStatus"], told["exeErrorDiag"]) == ("failed", "payload ended with 1")


def test_the_last_attempt_makes_a_task_fail_which_can_be_retried(
    client: ClientProcess, submit: Submit, server: Server
) -> None:
    task_id = submit(1, maxAttempt=1)
    say(server, take(server, task_id), "failed")
    wait(client, task_id, "failed")
    status, (code, message) = client.call("retryTask", task_id)
    assert (status, code) == (0, 0), message
    finish(server, take(server, task_id))
    wait(client, task_id, "done")


def test_a_task_is_killed(client: ClientProcess, submit: Submit, server: Server) -> None:
    task_id = submit()
    job = take(server, task_id)
    say(server, job, "running")
    status, (success, code) = client.call("killTask", task_id)
    assert (status, success, code) == (0, True, 0)
    poll(lambda: say(server, job, "running") == "tobekilled")
    say(server, job, "failed")
    wait(client, task_id, "aborted", *(["aborting"] if not server.embedded else []))


def test_a_task_is_finished_with_what_it_has(client: ClientProcess, submit: Submit, server: Server) -> None:
    task_id = submit()
    finish(server, take(server, task_id))
    poll(lambda: client.call("get_task_details_json", task_id)[1][1]["nFilesFinished"] == 1)
    assert client.call("finishTask", task_id)[1] == (True, 0)
    wait(client, task_id, "finished")
    assert client.call("finishTask", task_id)[1][1].startswith("Command rejected: the finish command")


def test_an_ended_task_looks_for_more_input(client: ClientProcess, submit: Submit, server: Server) -> None:
    task_id = submit(1)
    finish(server, take(server, task_id))
    wait(client, task_id, "done")
    assert client.call("reload_input", task_id)[1] == (True, 0)
    poll(lambda: client.call("get_task_details_json", task_id)[1][1]["attemptNr"] == 1 or not server.embedded)
    wait(client, task_id, "done")


def test_jobs_are_killed(client: ClientProcess, submit: Submit, server: Server) -> None:
    task_id = submit(2, maxAttempt=1)
    first = wait_for_jobs(client, task_id, 2)[0]
    assert client.call("killJobs", [first, UNKNOWN]) == (0, [True, False])
    (told,) = client.call("getFullJobStatus", [first])[1]
    assert told["jobStatus"] == "cancelled"
    assert told["taskBufferErrorDiag"].startswith("killed by ")


def test_what_needs_a_role_is_refused(client: ClientProcess, submit: Submit) -> None:
    task_id = submit()
    wait_for_jobs(client, task_id, 2)
    refused = (0, (False, "production or pilot role required"))
    for function in ("pauseTask", "resumeTask", "reactivateTask", "increase_attempt_nr"):
        assert client.call(function, task_id) == refused
    assert client.call("setDebugMode", UNKNOWN, True, False) == (255, None)


def test_unknown_ids_are_refused(client: ClientProcess) -> None:
    owner = (0, (False, "not the task owner or no production role"))
    assert client.call("killTask", UNKNOWN) == owner
    assert client.call("finishTask", UNKNOWN) == owner
    assert client.call("getTaskStatus", UNKNOWN) == (255, None)
    assert client.call("getPandaIDsWithTaskID", UNKNOWN) == (0, [])
    assert client.call("get_files_in_datasets", UNKNOWN) == (255, None)


def test_files_go_to_the_cache_and_back(client: ClientProcess, tmp_path: Path) -> None:
    path = tmp_path / f"jobO.{uuid.uuid4()}.tar.gz"
    path.write_bytes(uuid.uuid4().bytes * 10)
    assert client.call("putFile", str(path), useCacheSrv=True, reuseSandbox=True) == (0, "True")
    status, text = client.call("putFile", str(path), useCacheSrv=True, reuseSandbox=True)
    assert (status, text) == (0, f"NewFileName:{path.name}")
    assert client.call("putFile", str(path)) == (0, "ERROR: cannot overwrite file")
    back = tmp_path / "back"
    assert client.call("getFile", path.name, str(back)) == (0, True)
    assert back.read_bytes() == path.read_bytes()


def test_the_environment_of_the_server_stays_its_own(client: ClientProcess, server: Server) -> None:
    if not server.embedded:
        pytest.skip("a real server tells it")
    assert client.call("get_cert_attributes")[0] == 255


def test_prun_makes_a_task_that_runs(
    client: ClientProcess, submit: Submit, server: Server, tmp_path: Path
) -> None:
    (tmp_path / "payload.py").write_text("print('done')\n")
    (tmp_path / "pfns.txt").write_text("root://127.0.0.1//d/swf.1.stf\n")
    name = f"user.swf.prun.{uuid.uuid4().hex[:10]}"
    made = client.prun(
        tmp_path,
        *(
            "--exec",
            "python3 payload.py %IN",
            "--pfnList",
            "pfns.txt",
            "--outDS",
            name,
            "--nFilesPerJob",
            "1",
        ),
        *("--vo", "wlcg", "--site", QUEUE, "--prodSourceLabel", "test", "--workingGroup", "EIC", "--noBuild"),
        *("--expertOnly_skipScout", "--outputs", "stf.root,stf.json", "--maxAttempt", "2"),
    )
    status, (code, message) = client.call("insertTaskParams", made)
    assert (status, code) == (0, 0), message
    task_id = int(message.rpartition("=")[2])
    job = take(server, task_id)
    try:
        archive = re.search(r"-a (\S+)", job["jobPars"])
        assert archive
        assert client.call("getFile", archive[1], str(tmp_path / "sandbox.tar.gz")) == (0, True)
        assert len(job["outFiles"].split(",")) == 3
        finish(server, job)
        wait(client, task_id, "done")
    finally:
        client.call("killTask", task_id)
