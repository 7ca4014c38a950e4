"""Killed servers, silent pilots, Rucio and database away, many pilots at once: nothing lost, nothing doubled."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import httpx
import pytest

from services.base import Engine
from services.storage import E1
from tests.panda.steps import a_pilot, job, kill, stopped, submit, wait_for_job
from tests.panda.world import NICKNAME_SCOPE, Api, Pilot, Run, adler32, client_of_rucio, pilot, poll

pytestmark = [pytest.mark.services, pytest.mark.timeout(600)]


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
    """Kill the jobs that no pilot works on any more, and do what takes their place, until all is done."""

    def replaced() -> bool:
        given_up = [j for j in api.jobs(task_id) if j["jobStatus"] in ("sent", "starting", "running")]
        api.post("job/kill", job_ids=[j["PandaID"] for j in given_up])
        for gone in given_up:
            one.say({"PandaID": gone["PandaID"], "attemptNr": gone["attemptNr"]}, "failed")
        for taken in one.take(10):
            one.finish(taken)
        return not _unfinished(api, task_id)

    poll(replaced, lambda: api.files(task_id))


def _unfinished(api: Api, task_id: int) -> bool:
    return set(api.files(task_id).values()) != {"finished"}


def _all_done_but_given_up(api: Api, task_id: int) -> bool:
    """Whether each file is finished or with a pilot that has given it up."""
    open_states = {one["jobStatus"] for one in api.jobs(task_id)} - {"finished", "failed", "cancelled"}
    return open_states <= {"sent", "starting", "running"} and len(api.jobs(task_id)) >= 24


def test_three_hundred_jobs_go_through_two_sites(
    panda: Engine, rucio: Engine, api: Api, catalogue: Any
) -> None:
    runs = {site: Run(catalogue, site) for site in E1}
    for run in runs.values():
        run.add(run.files(150))
    tasks = {site: submit(api, run) for site, run in runs.items()}
    for site, task_id in tasks.items():
        names = [f"user.swf.{task_id}._{number:06d}.stf.json" for number in range(1, 151)]
        output = {"scope": NICKNAME_SCOPE, "bytes": 2, "adler32": adler32(b"{}")}
        catalogue.add_replicas(site, [{**output, "name": name} for name in names])

    def work(site: str) -> None:
        one = Pilot(pilot(panda), Registered(), tasks[site], site)
        while len(done[site]) < 150:
            for taken in one.take():
                one.finish(taken)
                done[site].append(taken["PandaID"])

    done: dict[str, list[int]] = {site: [] for site in E1}
    threads = [threading.Thread(target=work, args=(site,)) for site in E1 for _ in range(2)]
    for thread in threads:
        thread.start()
    poll(lambda: all(len(run.outputs()) == 150 for run in runs.values()), lambda: done)
    for thread in threads:
        thread.join()
    assert all(len(set(numbers)) == len(numbers) == 150 for numbers in done.values())


class Registered:
    """Rucio's client for pilots whose outputs are registered already."""

    def add_replicas(self, rse: str, files: list[dict[str, Any]]) -> None:
        """Nothing."""
