"""The server with a real Rucio: datasets are followed, jobs tried again, outputs checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from services.base import Engine
from services.rucio.settings import SCOPE
from tests.panda.contract.client import ClientProcess
from tests.panda.steps import a_pilot, job, submit, wait_for_job
from tests.panda.world import NICKNAME_SCOPE, Api, Run, adler32, poll

pytestmark = pytest.mark.services


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
    # Else a job of it that is killed is tried again.
    poll(lambda: api.files(task_id)[moved] == "missing", lambda: api.files(task_id))
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
