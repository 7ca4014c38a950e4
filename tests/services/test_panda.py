"""The embedded PanDA-compatible server with a real Rucio: datasets followed, outputs checked, processes killed."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.base import Engine, EngineError
from services.panda.engine import Panda
from services.panda.settings import VO
from services.panda.tokens import Authority
from services.rucio.settings import SCOPE
from tests.panda.contract.client import ClientProcess
from tests.panda.world import NICKNAME_SCOPE, Api, Pilot, Run, adler32, client_of_rucio, pilot, poll, user

pytestmark = pytest.mark.services


@pytest.fixture
def catalogue(rucio: Engine) -> Any:
    """Rucio's client."""
    return client_of_rucio(rucio)


@pytest.fixture
def api(panda: Engine) -> Api:
    """The interface as the user."""
    return user(panda)


@pytest.fixture
def run(catalogue: Any) -> Run:
    """A run with an open, empty dataset."""
    return Run(catalogue)


def submit(api: Api, run: Run, **changes: Any) -> int:
    reply = api.post("task/submit", task_parameters=run.parameters(**changes))
    assert reply["success"], reply
    return int(reply["data"])


def a_pilot(panda: Engine, catalogue: Any, task_id: int) -> Pilot:
    return Pilot(pilot(panda), catalogue, task_id)


def job(api: Api, number: int) -> dict[str, Any]:
    (found,) = api.post("job/get_description", job_ids=[number])["data"]
    return dict(found)


def wait_for_job(api: Api, number: int, *states: str) -> dict[str, Any]:
    return dict(
        poll(lambda: (now := job(api, number))["jobStatus"] in states and now, lambda: job(api, number))
    )


def kill(engine: Engine) -> None:
    assert engine.pid
    os.kill(engine.pid, signal.SIGKILL)
    engine.stop()


@contextmanager
def stopped(engine: Engine, *dependent: Engine) -> Iterator[None]:
    """The engine is away in this block; afterwards it and what needs it is ready again."""
    engine.stop()
    try:
        yield
    finally:
        engine.start()
        for one in dependent:
            one.wait_ready()


def test_an_open_dataset_is_followed_until_it_is_closed(
    panda: Engine, api: Api, catalogue: Any, run: Run
) -> None:
    task_id = submit(api, run)
    assert api.wait(task_id, "defined") == "defined"
    one = a_pilot(panda, catalogue, task_id)
    for number in (1, 2, 3):
        run.add(run.files(1, number))
        one.finish(one.wait_for_job())
        poll(lambda number=number: len(run.outputs()) == number)
        api.wait(task_id, "defined")
    run.close()
    assert api.wait(task_id, "done", "finished", "failed") == "done"
    assert set(api.files(task_id).values()) == {"finished"}
    assert catalogue.get_did(NICKNAME_SCOPE, run.output)["open"] is False


def test_a_job_carries_its_input_and_its_outputs(panda: Engine, api: Api, catalogue: Any, run: Run) -> None:
    (name,) = run.add(run.files(1))
    task_id = submit(api, run)
    taken = a_pilot(panda, catalogue, task_id).wait_for_job()
    assert taken["inFiles"] == name
    assert (taken["scopeIn"], taken["fsize"], taken["checksum"]) == (
        SCOPE,
        str(len(name)),
        f"ad:{adler32(name.encode())}",
    )
    assert (taken["ddmEndPointIn"], taken["realDatasetsIn"]) == (run.site, f"{SCOPE}:{run.dataset}")
    output = f"user.swf.{task_id}._000001.stf.json"
    assert taken["outFiles"].split(",")[0] == output
    assert f"-i \"['{name}']\"" in taken["jobPars"]
    assert f"'stf.json': '{output}'" in taken["jobPars"]
    files = {file["type"]: file for file in job(api, taken["PandaID"])["Files"]}
    assert (files["input"]["lfn"], files["input"]["scope"], files["input"]["fsize"]) == (
        name,
        SCOPE,
        len(name),
    )
    assert (files["output"]["lfn"], files["output"]["status"]) == (output, "unknown")


def test_a_job_waits_for_its_input_at_its_own_site(panda: Engine, api: Api, catalogue: Any, run: Run) -> None:
    (name,) = run.add(run.files(1), available=False)
    task_id = submit(api, run)
    poll(lambda: [one["jobStatus"] for one in api.jobs(task_id)] == ["assigned"])
    one = a_pilot(panda, catalogue, task_id)
    assert one.take() == []
    run.register([name], run.site)
    one.finish(one.wait_for_job())
    poll(lambda: len(run.outputs()) == 1)


def test_a_detached_file_is_not_tried_again_until_it_is_back(
    panda: Engine, api: Api, catalogue: Any, run: Run
) -> None:
    kept, moved = run.add(run.files(2))
    task_id = submit(api, run)
    poll(lambda: [one["jobStatus"] for one in api.jobs(task_id)] == ["activated"] * 2)
    run.detach([moved])
    poll(lambda: api.files(task_id) == {kept: "running", moved: "missing"}, lambda: api.files(task_id))
    (of_moved,) = [one["PandaID"] for one in api.jobs(task_id) if moved in one["jobParameters"]]
    assert api.post("job/kill", job_ids=[of_moved])["data"] == [True]
    one = a_pilot(panda, catalogue, task_id)
    taken = one.wait_for_job()
    assert taken["inFiles"] == kept
    one.finish(taken)
    api.wait(task_id, "defined")
    assert len(api.jobs(task_id)) == 2
    assert api.info(task_id)["nFilesMissing"] == 1
    run.attach([moved])
    again = one.wait_for_job()
    assert (again["inFiles"], again["attemptNr"]) == (moved, 2)
    assert again["PandaID"] > of_moved
    one.finish(again)
    run.close()
    api.wait(task_id, "done")


def test_what_was_detached_does_not_keep_a_task_from_ending(
    panda: Engine, api: Api, catalogue: Any, run: Run
) -> None:
    kept, moved = run.add(run.files(2), available=False)
    task_id = submit(api, run)
    poll(lambda: len(api.jobs(task_id)) == 2)
    run.detach([moved])
    run.register([kept], run.site)
    one = a_pilot(panda, catalogue, task_id)
    one.finish(one.wait_for_job())
    run.close()
    waiting = [one["PandaID"] for one in api.jobs(task_id) if one["jobStatus"] == "assigned"]
    api.post("job/kill", job_ids=waiting)
    assert api.wait(task_id, "done", "finished", "failed") == "done"


def test_a_killed_job_is_tried_again_under_new_names(
    panda: Engine, api: Api, catalogue: Any, run: Run
) -> None:
    run.add(run.files(1))
    task_id = submit(api, run)
    one = a_pilot(panda, catalogue, task_id)
    running = one.wait_for_job()
    assert one.say(running, "running") == "NULL"
    assert api.post("job/kill", job_ids=[running["PandaID"]])["data"] == [True]
    assert one.say(running, "running") == "tobekilled"
    assert one.say(running, "failed", pilot_error_diag="stopped as told") == "tobekilled"
    ended = wait_for_job(api, running["PandaID"], "cancelled")
    assert ended["taskBufferErrorDiag"] == "killed by Swf Testbed"
    again = one.wait_for_job()
    assert again["PandaID"] > running["PandaID"]
    assert set(again["outFiles"].split(",")).isdisjoint(running["outFiles"].split(","))
    queued = again["PandaID"]
    assert one.say(running, "finished") == "tobekilled"
    assert job(api, queued)["jobStatus"] == "sent"


def test_a_file_has_so_many_attempts_and_no_more(panda: Engine, api: Api, catalogue: Any, run: Run) -> None:
    good, _bad = run.add(run.files(2))
    task_id = submit(api, run, maxAttempt=2)
    one = a_pilot(panda, catalogue, task_id)
    for _ in range(3):
        taken = one.wait_for_job()
        if taken["inFiles"] == good:
            one.finish(taken)
        else:
            one.say(taken, "failed", exe_error_code=9, exe_error_diag="out of memory")
    run.close()
    assert api.wait(task_id, "done", "finished", "failed") == "finished"
    assert sorted(api.files(task_id).values()) == ["failed", "finished"]
    assert [one["exeErrorDiag"] for one in api.jobs(task_id) if one["jobStatus"] == "failed"] == [
        "out of memory"
    ] * 2


def test_failed_files_of_a_running_task_can_be_retried(
    panda: Engine, api: Api, catalogue: Any, run: Run
) -> None:
    run.add(run.files(1))
    task_id = submit(api, run, maxAttempt=1)
    one = a_pilot(panda, catalogue, task_id)
    one.say(one.wait_for_job(), "failed")
    poll(lambda: set(api.files(task_id).values()) == {"failed"})
    run.add(run.files(1, 2), available=False)
    api.wait(task_id, "running")
    reply = api.post("task/retry", task_id=task_id)
    assert reply["data"] == 0
    assert reply["message"] == "retry has been triggered for failed jobs while the task is still running"
    assert one.wait_for_job()["attemptNr"] == 2


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda report: {}, "is not in the job's report"),
        (
            lambda report: {name: {**said, "fsize": 7} for name, said in report.items()},
            "reports 7 bytes, Rucio has 2",
        ),
        (
            lambda report: {name: {**said, "adler32": "00000001"} for name, said in report.items()},
            "the pilot reports adler32 00000001",
        ),
    ],
)
def test_a_wrong_report_makes_a_job_fail(
    panda: Engine, api: Api, catalogue: Any, run: Run, spoil: Any, reason: str
) -> None:
    run.add(run.files(1))
    task_id = submit(api, run)
    one = a_pilot(panda, catalogue, task_id)
    taken = one.wait_for_job()
    one.say(taken, "running")
    one.say(taken, "finished", job_output_report=json.dumps(spoil(one.write(taken))))
    assert reason in wait_for_job(api, taken["PandaID"], "failed")["ddmErrorDiag"]
    assert run.outputs() == []
    one.finish(one.wait_for_job())
    poll(lambda: len(run.outputs()) == 1)


def test_an_output_must_be_at_the_site(panda: Engine, api: Api, catalogue: Any, run: Run) -> None:
    run.add(run.files(1))
    task_id = submit(api, run)
    one = a_pilot(panda, catalogue, task_id)
    taken = one.wait_for_job()
    name = taken["outFiles"].split(",")[0]
    report = {name: {"fsize": 2, "adler32": adler32(b"{}"), "guid": ""}}
    one.say(taken, "finished", job_output_report=json.dumps(report))
    ended = wait_for_job(api, taken["PandaID"], "failed")
    assert ended["ddmErrorDiag"] == f"output user.swf:{name} has no available replica at E1_BNL in Rucio"


def test_a_job_holds_while_rucio_is_away(
    panda: Engine, rucio: Engine, api: Api, catalogue: Any, run: Run
) -> None:
    run.add(run.files(1))
    task_id = submit(api, run)
    one = a_pilot(panda, catalogue, task_id)
    taken = one.wait_for_job()
    one.say(taken, "running")
    report = one.write(taken)
    with stopped(rucio, panda):
        assert one.say(taken, "finished", job_output_report=json.dumps(report)) == "NULL"
        poll(lambda: "Rucio does not answer" in str(panda.ready()))
        assert job(api, taken["PandaID"])["jobStatus"] == "holding"
        # The answer to a report may be lost: it is given again, and nothing else happens.
        assert one.say(taken, "finished", job_output_report=json.dumps(report)) == "NULL"
        # Nobody can kill what may be in the output dataset already.
        api.post("job/kill", job_ids=[taken["PandaID"]])
        assert job(api, taken["PandaID"])["jobStatus"] == "holding"
    wait_for_job(api, taken["PandaID"], "finished")
    assert len(run.outputs()) == 1


def test_the_interface_survives_its_database(
    panda: Engine, postgres: Engine, rucio: Engine, api: Api
) -> None:
    with stopped(postgres, rucio, panda):
        response = api.http.get("task/get_status", params={"task_id": 1})
        assert (response.status_code, response.text) == (500, "database error in the PanDA server")
        poll(lambda: "failing" in str(panda.ready()))
    assert api.get("task/get_job_ids", task_id=987654321)["data"] == []


def test_a_silent_pilot_loses_its_job(
    panda: Engine, api: Api, catalogue: Any, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.add(run.files(2))
    task_id = submit(api, run)
    one = a_pilot(panda, catalogue, task_id)
    lost, told = one.wait_for_job(), one.wait_for_job()
    for taken in (lost, told):
        one.say(taken, "running")
    api.post("job/kill", job_ids=[told["PandaID"]])
    monkeypatch.setenv("SWF_PANDA_HEARTBEAT_SECONDS", "1.5")
    kill(panda)
    panda.start()
    try:
        ended = wait_for_job(api, lost["PandaID"], "failed")
        assert ended["jobDispatcherErrorDiag"].startswith("lost heartbeat : 20")
        wait_for_job(api, told["PandaID"], "cancelled")
        assert one.say(lost, "finished", job_output_report=json.dumps(one.write(lost))) == "tobekilled"
    finally:
        monkeypatch.delenv("SWF_PANDA_HEARTBEAT_SECONDS")
        kill(panda)
        panda.start()
    for _ in range(2):
        one.finish(one.wait_for_job())
    run.close()
    api.wait(task_id, "done")
    # What the lost pilot wrote after all is in Rucio, and does not count.
    assert len(run.outputs()) == 2
    assert lost["outFiles"].split(",")[0] not in run.outputs()


def test_a_job_goes_to_one_pilot_only(panda: Engine, api: Api, catalogue: Any, run: Run) -> None:
    run.add(run.files(30))
    task_id = submit(api, run)
    poll(lambda: sum(one["jobStatus"] == "activated" for one in api.jobs(task_id)) == 30)
    taken: list[int] = []
    barrier = threading.Barrier(4)

    def greedy() -> None:
        one = a_pilot(panda, catalogue, task_id)
        barrier.wait()
        while jobs := one.take(2):
            taken.extend(one["PandaID"] for one in jobs)

    threads = [threading.Thread(target=greedy) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == len(set(taken)) == 30


def test_a_killed_server_loses_and_doubles_nothing(
    panda: Engine, rucio: Engine, api: Api, catalogue: Any, run: Run
) -> None:
    names = run.add(run.files(24))
    task_id = submit(api, run)
    with _pilots(panda, rucio, task_id, 3):
        for count in (3, 9, 15):
            poll(lambda count=count: len(run.outputs()) >= count)
            kill(panda)
            panda.start()
        poll(lambda: _all_done_but_given_up(api, task_id), lambda: api.files(task_id))
    _replace_the_given_up(api, a_pilot(panda, catalogue, task_id), task_id)
    run.close()
    api.wait(task_id, "done")
    assert set(api.files(task_id)) == set(names)
    assert len(run.outputs()) == len(names)
    numbers = [one["PandaID"] for one in api.jobs(task_id)]
    assert len(set(numbers)) == len(numbers)


@contextmanager
def _pilots(panda: Engine, rucio: Engine, task_id: int, count: int) -> Iterator[None]:
    """Pilots at work, which give up a job when the server is away."""
    over = threading.Event()

    def work() -> None:
        one = a_pilot(panda, client_of_rucio(rucio), task_id)
        while not over.is_set():
            with suppress(httpx.HTTPError, AssertionError):
                for taken in one.take():
                    one.finish(taken)

    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def _replace_the_given_up(api: Api, one: Pilot, task_id: int) -> None:
    """Kill the jobs that no pilot works on any more, and do what takes their place."""
    while given_up := [j for j in api.jobs(task_id) if j["jobStatus"] in ("sent", "starting", "running")]:
        api.post("job/kill", job_ids=[j["PandaID"] for j in given_up])
        for gone in given_up:
            one.say({"PandaID": gone["PandaID"], "attemptNr": gone["attemptNr"]}, "failed")
        for taken in poll(lambda: one.take(10) or not _unfinished(api, task_id)) or []:
            one.finish(taken)


def _unfinished(api: Api, task_id: int) -> bool:
    return set(api.files(task_id).values()) != {"finished"}


def _all_done_but_given_up(api: Api, task_id: int) -> bool:
    """Whether each file is finished or with a pilot that has given it up."""
    open_states = {one["jobStatus"] for one in api.jobs(task_id)} - {"finished", "failed", "cancelled"}
    return open_states <= {"sent", "starting", "running"} and len(api.jobs(task_id)) >= 24


def test_a_dataset_that_was_opened_again_is_followed_again(
    panda: Engine, api: Api, catalogue: Any, run: Run
) -> None:
    run.add(run.files(1))
    task_id = submit(api, run)
    one = a_pilot(panda, catalogue, task_id)
    one.finish(one.wait_for_job())
    run.close()
    api.wait(task_id, "done")
    run.reopen()
    run.add(run.files(1, 2))
    assert api.post("task/reload_input", task_id=task_id)["data"] == 0
    one.finish(one.wait_for_job())
    poll(lambda: len(run.outputs()) == 2)
    assert api.wait(task_id, "defined", "done") == "defined"
    run.close()
    api.wait(task_id, "done")


def test_the_same_task_submitted_again_goes_on(panda: Engine, api: Api, catalogue: Any, run: Run) -> None:
    task_id = submit(api, run)
    assert api.wait(task_id, "defined") == "defined"
    refused = api.post("task/submit", task_parameters=run.parameters())
    assert (refused["success"], refused["data"]) == (False, 2)
    run.close()
    api.wait(task_id, "failed")
    assert api.info(task_id)["errorDialog"] == "no input files"
    run.reopen()
    accepted = api.post("task/submit", task_parameters=run.parameters())
    assert (accepted["success"], accepted["data"]) == (True, task_id)
    api.wait(task_id, "defined")


def test_a_paused_task_starts_nothing(panda: Engine, api: Api, catalogue: Any, run: Run) -> None:
    run.add(run.files(2))
    task_id = submit(api, run)
    poll(lambda: [one["jobStatus"] for one in api.jobs(task_id)] == ["activated"] * 2)
    one = a_pilot(panda, catalogue, task_id)
    assert one.api.post("task/pause", task_id=task_id)["data"] == 0
    api.wait(task_id, "paused")
    assert one.take() == []
    assert one.api.post("task/resume", task_id=task_id)["data"] == 0
    one.finish(one.wait_for_job())


def test_finishing_softly_lets_running_jobs_finish(panda: Engine, api: Api, catalogue: Any, run: Run) -> None:
    run.add(run.files(2))
    task_id = submit(api, run)
    one = a_pilot(panda, catalogue, task_id)
    taken = one.wait_for_job()
    one.say(taken, "running")
    assert api.post("task/finish", task_id=task_id, soft=True)["data"] == 0
    api.wait(task_id, "finishing")
    poll(lambda: "cancelled" in [one["jobStatus"] for one in api.jobs(task_id)])
    assert one.take() == []
    one.finish(taken)
    assert api.wait(task_id, "finished", "failed", "done") == "finished"
    assert len(run.outputs()) == 1


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"site": "BNL_PROD"}, "unknown site 'BNL_PROD': this server has the queues E1_BNL, E1_JLAB"),
        ({"site": None}, "unknown site None"),
        ({"jobParameters": "x"}, "jobParameters is missing or no list of objects"),
        ({"jobParameters": []}, "no input: neither a dataset in jobParameters nor noInput"),
        ({"noInput": True}, "a task without input needs pfnList, nFiles, or nEvents"),
    ],
)
def test_a_task_that_cannot_be_done_is_broken_with_a_reason(
    api: Api, run: Run, changes: dict[str, Any], reason: str
) -> None:
    task_id = submit(api, run, **changes)
    api.wait(task_id, "broken")
    assert str(api.info(task_id)["errorDialog"]).startswith(reason)


def test_prun_makes_a_task_on_an_open_dataset(
    panda: Engine, api: Api, catalogue: Any, run: Run, tmp_path: Path
) -> None:
    (name,) = run.add(run.files(1))
    (tmp_path / "payload.py").write_text("print('processed')\n")
    client = ClientProcess(panda.environment(), tmp_path)
    try:
        made = client.prun(
            tmp_path,
            *("--inDS", f"{SCOPE}:{run.dataset}", "--outDS", f"user.swf.swf.{run.name}.{run.site}.processed"),
            *("--exec", "python3 payload.py %IN --summary stf.json", "--outputs", "stf.root,stf.json"),
            *("--nFilesPerJob", "1", "--site", run.site, "--vo", "wlcg", "--workingGroup", "EIC"),
            *("--noBuild", "--expertOnly_skipScout"),
        )
        made |= {"runUntilClosed": True, "processingType": "stfprocessing"}
        status, (code, message) = client.call("insertTaskParams", made)
    finally:
        client.close()
    assert (status, code) == (0, 0), message
    task_id = int(message.rpartition("=")[2])
    one = a_pilot(panda, catalogue, task_id)
    taken = one.wait_for_job()
    assert taken["inFiles"] == name
    assert [file.rpartition("000001.")[2] for file in taken["outFiles"].split(",")] == [
        "stf.root",
        "stf.json",
        "log.tgz",
    ]
    one.finish(taken)
    poll(lambda: len(run.outputs()) == 1)
    run.close()
    api.wait(task_id, "done")


def test_an_unknown_dataset_is_told(api: Api, run: Run) -> None:
    run.dataset = "run.nowhere"
    task_id = submit(api, run)
    api.wait(task_id, "broken")
    assert api.info(task_id)["errorDialog"] == "unknown input dataset group.daq:run.nowhere"


def test_others_have_no_say(panda: Engine, api: Api, catalogue: Any, run: Run) -> None:
    run.add(run.files(1))
    task_id = submit(api, run)
    poll(lambda: [one["jobStatus"] for one in api.jobs(task_id)] == ["activated"])
    (number,) = [one["PandaID"] for one in api.jobs(task_id)]
    authority = Authority(panda.directory, f"{api.base}/auth")
    other = Api(api.base, authority.sign(VO, "somebody else", "other", [VO], 60))
    for command in ("kill", "finish", "retry", "reload_input"):
        refused = other.post(f"task/{command}", task_id=task_id)
        assert refused["message"] == "not the task owner or no production role"
    assert other.post("job/kill", job_ids=[number])["data"] == [False]
    assert other.get("task/get_tasks_modified_since", since="2020-01-01 00:00:00")["data"] == {}
    mine = json.dumps({"userName": "Swf Testbed"})
    assert other.get("task/get_tasks_detailed_info_since", filters=mine)["data"] == []
    assert api.get("task/get_tasks_detailed_info_since", filters=mine)["data"] != []
    assert Api(api.base, authority.sign(VO, "x", "x", ["atlas"], 60)).http.get("system/is_alive").text == (
        "ERROR : Token authentication failed. Not a member of the EIC group"
    )
    stale = Api(api.base, authority.sign(VO, "x", "x", [VO], -60))
    assert stale.http.get("system/is_alive").text == (
        "ERROR : Token authentication failed. Invalid token. Signature has expired"
    )


def test_keys_and_tokens_are_for_their_owner_only(panda: Engine) -> None:
    for path in ("key.pem", "tokens/user.jwt", "tokens/pilot.jwt", "settings.json"):
        assert (panda.directory / path).stat().st_mode & 0o077 == 0, path


def test_a_second_server_is_refused(panda: Engine) -> None:
    with pytest.raises(EngineError, match=r"port \d+ is taken: is this PanDA running already"):
        Panda(panda.home).run()


def test_the_heartbeat_must_be_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWF_PANDA_HEARTBEAT_SECONDS", "soon")
    with pytest.raises(EngineError, match="must be a number of seconds above 0"):
        Panda(tmp_path).settings()


def test_another_database_is_taken_with_a_schema_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    assert Panda(tmp_path).settings().database.startswith("postgresql://panda:")
    monkeypatch.setenv("DATABASE_URL", "postgres://me@elsewhere/db")
    assert Panda(tmp_path).settings().database == "postgresql://me@elsewhere/db"
    monkeypatch.setenv("DATABASE_URL", "mysql://me@elsewhere/db")
    with pytest.raises(EngineError, match="must begin with postgresql://"):
        Panda(tmp_path).settings()
