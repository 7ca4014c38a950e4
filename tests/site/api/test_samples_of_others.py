"""TF files and slices that agents of another system make, and slices that workers ask for, over REST."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from apps.runs.models import JournalEntry, Run
from apps.stf import services
from apps.stf.models import FastMonFile, FastRun, TFSlice
from apps.stf.selectors import files_to_remove
from tests.fast import a_sampled_run, cut
from tests.parallel import in_parallel
from tests.rest import Agent, errors
from tests.slices import counted, states

pytestmark = pytest.mark.django_db

NUMBER = 102827
STF = f"swf.{NUMBER}.000001.stf"
TF_FILE = f"swf.{NUMBER}.000001_tf_001.tf"


def tf_file(number: int = 1, first: int = 0, length: int = 6, **changes: Any) -> dict[str, Any]:
    """What the existing fast monitoring agent sends: it has read no byte, and says of none where it is."""
    return {
        "stf_file": STF,
        "tf_filename": f"swf.{NUMBER}.000001_tf_{number:03d}.tf",
        "tf_first": first,
        "tf_last": first + length - 1,
        "tf_count": length,
        "file_size_bytes": 300,
        "status": "registered",
        "metadata": {"simulation": True, "created_from": STF},
    } | changes


def one_slice(slice_id: int, length: int = 2, **changes: Any) -> dict[str, Any]:
    """What the existing fast processing agent sends for a slice of the first TF file."""
    return {
        "slice_id": slice_id,
        "tf_first": slice_id * length,
        "tf_last": (slice_id + 1) * length - 1,
        "tf_count": length,
        "tf_filename": TF_FILE,
        "stf_filename": STF,
        "run_number": str(NUMBER),
        "status": "queued",
        "retries": 0,
        "metadata": {"execution_id": "e-1", "created_by": "fast-agent-ann-9"},
    } | changes


def the_run() -> Run:
    return Run.objects.get(run_number=NUMBER)


def register_stf(agent: Agent, directory: Path) -> None:
    (directory / STF).write_bytes(b"STF 1")
    agent.post("runs/", {"run_number": NUMBER})
    agent.post("stf-files/", {"run": NUMBER, "stf_filename": STF, "machine_state": "run"})


@pytest.fixture
def stf(agent: Agent, exit_buffer: Path) -> Agent:
    """An STF of the run is registered."""
    register_stf(agent, exit_buffer)
    return agent


@pytest.fixture
def sliced(stf: Agent) -> Agent:
    """Its TF file and three slices, too."""
    stf.post("fastmon-files/", tf_file())
    stf.post("tf-slices/", [one_slice(slice_id) for slice_id in range(3)])
    return stf


def test_a_tf_file_is_registered_once(stf: Agent) -> None:
    first = stf.post("fastmon-files/", tf_file())
    again = stf.post("fastmon-files/", tf_file(), status=200)
    stf.post("fastmon-files/", tf_file(2, first=100))

    assert first == again
    assert (first["tf_filename"], first["stf_file"], first["status"]) == (TF_FILE, STF, "registered")
    (sample,) = stf.get("fastmon-samples/")["results"]
    assert (sample["state"], sample["tf_count"], FastRun.objects.get().stf_samples_received) == (
        "sampled",
        12,
        1,
    )
    assert set(JournalEntry.objects.filter(kind="tf_file_registered").values_list("heard", flat=True)) == {
        True
    }


def test_lists_of_tf_files_and_slices_come_bare_to_who_does_not_page(sliced: Agent) -> None:
    """The existing agents go through what they are answered as through a list."""
    (found,) = sliced.get(f"fastmon-files/?tf_filename={TF_FILE}")
    (one,) = sliced.get(f"tf-slices/?run_number={NUMBER}&slice_id=1")

    assert (found["tf_filename"], one["tf_first"]) == (TF_FILE, 2)
    assert sliced.get("tf-slices/?limit=2")["count"] == 3
    more: Any = sliced.ask("GET", "tf-slices/?offset=1")
    assert len(more.json()["results"]) == 2
    for number in range(2, 4):
        sliced.post("fastmon-files/", tf_file(number, first=number * 10))
    assert len(sliced.get("fastmon-files/?ordering=tf_first")) == 3


@pytest.mark.parametrize(
    ("changes", "status", "field"),
    [
        ({"tf_last": 7}, 409, "tf_last"),
        ({"file_size_bytes": 1}, 409, "file_size_bytes"),
        ({"tf_filename": "b.tf"}, 409, "tf_first"),
        ({"tf_filename": "b.tf", "stf_file": "nowhere.stf"}, 409, "stf_file"),
        ({"tf_first": 9}, 400, "tf_last"),
        ({"tf_count": 7}, 400, "tf_count"),
        ({"tf_filename": "../b.tf"}, 400, "tf_filename"),
    ],
)
def test_what_cannot_be_a_tf_file_is_refused(
    stf: Agent, changes: dict[str, Any], status: int, field: str
) -> None:
    stf.post("fastmon-files/", tf_file())

    assert errors(stf.post("fastmon-files/", tf_file(**changes), status=status)) == {field}
    assert FastMonFile.objects.count() == 1


def test_what_this_testbed_samples_is_sampled_by_nobody_else(agent: Agent, exit_buffer: Path) -> None:
    run = a_sampled_run(1)
    name = run.stf_files.get().stf_filename
    ours = FastMonFile.objects.earliest("pk")

    problem = agent.post("fastmon-files/", tf_file(stf_file=name), status=409)
    assert errors(problem) == {"stf_file"}
    path = f"fastmon-files/{ours.tf_file_id}/"
    assert errors(agent.patch(path, {"status": "removed"}, status=409)) == {"status"}
    said = one_slice(0, tf_filename=ours.tf_filename)
    assert errors(agent.post("tf-slices/", said, status=409)) == {"fastmon_file"}


def test_its_agent_removes_a_tf_file_and_nobody_else(stf: Agent) -> None:
    path = f"fastmon-files/{stf.post('fastmon-files/', tf_file())['tf_file_id']}/"
    FastMonFile.objects.update(created_at=timezone.now() - timedelta(days=1))

    assert files_to_remove(limit=10) == []
    assert stf.patch(path, {"status": "removed"})["status"] == "removed"
    stf.patch(path, {"status": "removed"})
    assert errors(stf.patch(path, {"status": "registered"}, status=409)) == {"status"}


def test_slices_are_made_one_after_the_other(stf: Agent) -> None:
    stf.post("fastmon-files/", tf_file())
    made = [stf.post("tf-slices/", one_slice(slice_id)) for slice_id in range(3)]
    again = stf.post("tf-slices/", one_slice(1), status=200)

    assert [one["tf_last"] for one in made] == [1, 3, 5]
    assert again["id"] == made[1]["id"]
    assert counted(the_run()) == states(the_run()) == {"queued": 3}
    state = stf.get(f"run-states/{NUMBER}/")
    assert (state["slices_created"], state["slices_queued"], state["stf_samples_received"]) == (3, 3, 1)


@pytest.mark.parametrize(
    ("changes", "status", "field"),
    [
        ({"slice_id": 2, "tf_first": 4, "tf_last": 5}, 409, "tf_first"),
        ({"slice_id": 1, "tf_first": 3, "tf_last": 5}, 409, "tf_first"),
        ({"slice_id": 1, "tf_first": 1, "tf_last": 5}, 409, "tf_first"),
        ({"slice_id": 1, "tf_first": 2, "tf_last": 6}, 409, "tf_first"),
        ({"slice_id": 0, "tf_first": 0, "tf_last": 2}, 409, "tf_last"),
        ({"tf_filename": "nowhere.tf"}, 409, "fastmon_file"),
        ({"tf_last": 0, "tf_first": 1}, 400, "tf_last"),
    ],
)
def test_slices_leave_no_gap_and_do_not_overlap(
    stf: Agent, changes: dict[str, Any], status: int, field: str
) -> None:
    stf.post("fastmon-files/", tf_file())
    stf.post("tf-slices/", one_slice(0))

    assert errors(stf.post("tf-slices/", one_slice(1) | changes, status=status)) == {field}
    assert counted(the_run()) == {"queued": 1}


def test_many_slices_are_made_together_or_not_at_all(stf: Agent) -> None:
    stf.post("fastmon-files/", tf_file())

    stf.post("tf-slices/", [one_slice(0), one_slice(2)], status=409)
    assert not TFSlice.objects.exists()
    assert len(stf.post("tf-slices/", [one_slice(slice_id) for slice_id in (0, 1, 2)])) == 3


def test_its_agent_says_what_became_of_a_slice(sliced: Agent) -> None:
    ids = [row["id"] for row in sliced.get(f"tf-slices/?run_number={NUMBER}&ordering=slice_id")]
    notes = {"worker_hostname": "swf01", "result": {"processed": True}}
    done = sliced.patch(f"tf-slices/{ids[0]}/", {"status": "completed", "metadata": notes})
    sliced.patch(f"tf-slices/{ids[0]}/", {"status": "done"})
    failed = sliced.patch(f"tf-slices/{ids[1]}/", {"status": "failed", "metadata": {"error": "no memory"}})

    assert (done["status"], done["result"], failed["reason"]) == ("done", notes, "no memory")
    assert counted(the_run()) == {"done": 1, "failed": 1, "queued": 1}
    for slice_id, after in ((ids[0], "failed"), (ids[1], "queued")):
        assert errors(sliced.patch(f"tf-slices/{slice_id}/", {"status": after}, status=409)) == {"status"}
    assert errors(sliced.patch(f"tf-slices/{ids[2]}/", {"status": "lost"}, status=400)) == {"status"}


def test_slices_of_others_are_not_sent_to_workers_of_this_testbed(sliced: Agent) -> None:
    assert services.claim_slices(5) == []
    assert len(sliced.post("tf-slices/claim/", {"worker_id": "w1", "limit": 2}, status=200)) == 2


def test_a_worker_asks_for_slices_and_says_what_became_of_them(sliced: Agent) -> None:
    worker = sliced.post("workers/", {"worker_id": "w1", "status": "ready", "location": "farm"})
    first, second = sliced.post("tf-slices/claim/", {"worker_id": "w1", "limit": 2}, status=200)

    assert (worker["worker_id"], first["status"], first["assigned_worker"]) == ("w1", "claimed", "w1")
    said = {
        "worker_id": "w1",
        "status": "done",
        "attempt": 1,
        "processing_seconds": 0.5,
        "result": {"hits": 7},
    }
    done = sliced.post(f"tf-slices/{first['id']}/result/", said, status=200)
    again = sliced.post(f"tf-slices/{first['id']}/result/", said, status=200)
    assert (done["status"], done["result"], done["ignored"]) == ("done", {"hits": 7}, "")
    assert "done already" in again["ignored"]

    busy = {"worker_id": "w1", "status": "busy", "req_id": second["req_id"], "attempt": 1}
    assert sliced.post("workers/", busy, status=200)["current_slice_id"] == 1
    tried = {"worker_id": "w1", "status": "failed", "attempt": 1, "error": "no memory"}
    assert sliced.post(f"tf-slices/{second['id']}/result/", tried, status=200)["status"] == "queued"
    assert len(sliced.post("tf-slices/claim/", {"worker_id": "w1", "limit": 9}, status=200)) == 2
    assert sliced.post("tf-slices/claim/", {"worker_id": "w1"}, status=200) == []
    assert counted(the_run()) == {"done": 1, "claimed": 2}


def test_slices_of_this_testbed_are_asked_for_too(agent: Agent, exit_buffer: Path) -> None:
    run = a_sampled_run(1)
    cut(run)

    claim = {"worker_id": "w1", "run_number": run.run_number}
    (one,) = agent.post("tf-slices/claim/", claim, status=200)
    assert one["file_url"].startswith("/nowhere/")
    assert agent.post("tf-slices/claim/", {"worker_id": "w1", "run_number": 7}, status=200) == []
    assert errors(agent.patch(f"tf-slices/{one['id']}/", {"status": "done"}, status=409)) == {"status"}


@pytest.mark.django_db(transaction=True)
def test_no_two_workers_are_given_the_same_slice(exit_buffer: Path) -> None:
    agents = [Agent(f"agent-{number}") for number in range(4)]
    register_stf(agents[0], exit_buffer)
    agents[0].post("fastmon-files/", tf_file(length=20))
    agents[0].post("tf-slices/", [one_slice(slice_id) for slice_id in range(10)])
    answers: Any = in_parallel(
        *(
            lambda one=one: one.post("tf-slices/claim/", {"worker_id": "w", "limit": 3}, status=200)
            for one in agents
        )
    )

    given = [row["slice_id"] for answer in answers for row in answer]
    assert sorted(given) == list(range(10))
    assert counted(the_run()) == {"claimed": 10}
