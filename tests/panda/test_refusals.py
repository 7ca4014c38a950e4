"""What the server does not do, and the reasons it gives; its files, its settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from services.base import Engine, EngineError
from services.panda.engine import Panda
from services.panda.settings import VO
from services.panda.tokens import Authority
from tests.panda.steps import submit
from tests.panda.world import Api, Run, poll

pytestmark = pytest.mark.services


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
