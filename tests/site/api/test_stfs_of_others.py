"""STFs that agents of the existing system register over REST, one by one or many, and remark upon."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import pytest

from apps.agents.data import exit_buffer as looking
from apps.runs.models import JournalEntry, Run
from apps.stf.models import StfFile, StfRemark
from apps.stf.services import force_close
from tests.factories import a_running_run, an_stf, ended, kinds, registered
from tests.parallel import in_parallel
from tests.queries import queries_of
from tests.rest import Agent, errors

NUMBER = 102827


def stf(sequence: int = 1, **changes: Any) -> dict[str, Any]:
    """What the existing data agent sends; `run` is what it was given as the run's id."""
    return {
        "run": NUMBER,
        "stf_filename": f"swf.{NUMBER}.{sequence:06d}.stf",
        "file_size_bytes": None,
        "machine_state": "run",
        "status": "registered",
        "metadata": {
            "created_by": "data-agent-ann-7",
            "substate": "physics",
            "start": "20260801100000000000",
            "end": "20260801100000600000",
            "sequence": sequence,
        },
    } | changes


@pytest.fixture
def files(exit_buffer: Path) -> Path:
    """Files of ten STFs of a run."""
    for sequence in range(1, 11):
        (exit_buffer / f"swf.{NUMBER}.{sequence:06d}.stf").write_bytes(b"STF %d" % sequence)
    return exit_buffer


@pytest.fixture
def daq(agent: Agent, files: Path) -> Agent:
    """The run has been announced."""
    agent.post("runs/", {"run_number": NUMBER})
    return agent


pytestmark = pytest.mark.django_db


def test_an_stf_is_registered(daq: Agent) -> None:
    answer = daq.post("stf-files/", stf())

    assert (answer["file_id"], answer["run"], answer["status"]) == (
        answer["stf_filename"],
        NUMBER,
        "registered",
    )
    assert (answer["file_size_bytes"], answer["sequence"], answer["machine_state"]) == (5, 1, "run")
    assert answer["checksum"] == f"{zlib.adler32(b'STF 1'):08x}"
    assert answer["begin_time"].startswith("2026-08-01T")
    assert answer["metadata"] == stf()["metadata"]
    assert daq.get(f"stf-files/{answer['file_id']}/") == answer
    assert JournalEntry.objects.get(kind="stf_gen").heard is True


def test_saying_the_same_again_changes_nothing(daq: Agent) -> None:
    first = daq.post("stf-files/", stf())
    again = daq.post("stf-files/", stf(file_size_bytes=5), status=200)

    assert first == again
    assert JournalEntry.objects.filter(kind="stf_gen").count() == 1


def test_what_is_known_needs_no_file_any_more(daq: Agent, files: Path) -> None:
    said = stf(checksum="0437013f", file_size_bytes=5)
    first = daq.post("stf-files/", said)
    (files / said["stf_filename"]).unlink()

    assert daq.post("stf-files/", said, status=200) == first
    assert [row["created"] for row in daq.post("stf-files/", [said], status=200)] == [False]


def test_nor_is_a_long_file_read_again(daq: Agent, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    monkeypatch.setattr(looking, "adler32_file", lambda path: read.append(path) or "0437013f")
    said = stf(file_size_bytes=2_000_000_000)
    daq.post("stf-files/", said)
    daq.post("stf-files/", said, status=200)

    assert read == [files / said["stf_filename"]]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"checksum": "ad:1"}, "checksum"),
        ({"file_size_bytes": 7}, "file_size_bytes"),
        ({"metadata": {"sequence": 3}}, "sequence"),
    ],
)
def test_another_stf_of_a_known_name_is_refused(daq: Agent, changes: dict[str, Any], field: str) -> None:
    daq.post("stf-files/", stf())

    assert errors(daq.post("stf-files/", stf(**changes), status=409)) == {field}


def test_a_sequence_has_one_stf(daq: Agent) -> None:
    daq.post("stf-files/", stf(1))

    problem = daq.post("stf-files/", stf(2, metadata={"sequence": 1}), status=409)
    assert errors(problem) == {"sequence"}
    assert problem["detail"].startswith(f"sequence: 1 of run {NUMBER} is taken by another file: ")


def test_a_settled_run_takes_no_more(daq: Agent) -> None:
    ended(Run.objects.get(), count=1)
    force_close(NUMBER, by="ann", reason="no more to come")

    assert errors(daq.post("stf-files/", stf(1), status=409)) == {"run"}


def test_many_are_registered_together_or_not_at_all(daq: Agent) -> None:
    answer = daq.post("stf-files/", [stf(sequence) for sequence in (3, 1, 2)])
    assert [row["file_id"] for row in answer] == [stf(sequence)["stf_filename"] for sequence in (3, 1, 2)]

    daq.post("stf-files/", [stf(4), stf(99)], status=409)
    problem = daq.post("stf-files/", [stf(4), stf(5, stf_filename="")], status=400)
    assert set(problem["errors"]["1"]) == {"stf_filename"}
    assert StfFile.objects.count() == StfRemark.objects.count() == 3
    more = daq.post("stf-files/", [stf(sequence) for sequence in range(1, 5)])
    assert [row["created"] for row in more] == [False, False, False, True]


def test_many_take_a_constant_number_of_queries(daq: Agent, django_assert_max_num_queries: Any) -> None:
    with django_assert_max_num_queries(20):
        daq.post("stf-files/", [stf(sequence) for sequence in range(1, 11)])


@pytest.mark.django_db(transaction=True)
def test_an_stf_that_is_registered_by_many_at_once_is_one(files: Path) -> None:
    agents = [Agent() for _ in range(4)]
    agents[0].post("runs/", {"run_number": NUMBER})
    answers: Any = in_parallel(*(lambda one=one: one.ask("POST", "stf-files/", stf()) for one in agents))

    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 201]
    assert JournalEntry.objects.filter(kind="stf_gen").count() == 1


def test_links_may_lead_anywhere_within_the_exit_buffer_but_not_out_of_it(daq: Agent, files: Path) -> None:
    outside = files.parent / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"not an STF")
    (files / "inside").symlink_to(files)
    (files / "out").symlink_to(outside)
    (files / "secret").symlink_to(outside / "secret")
    (outside / "back").symlink_to(files)
    within = [f"inside/{stf(1)['stf_filename']}", f"out/back/{stf(2)['stf_filename']}"]
    beyond = ["out/secret", "secret", "inside/secret", "inside/..", "out/back/..", "../outside/secret"]

    for name in beyond:
        said = [stf(3), stf(4, file_url=str(files / name))]
        assert "is not in the exit buffer" in daq.post("stf-files/", said, status=409)["detail"], name
    daq.post("stf-files/", [stf(n, file_url=str(files / name)) for n, name in enumerate(within, 1)])
    assert StfFile.objects.count() == 2


@pytest.mark.parametrize(
    ("changes", "status", "field"),
    [
        ({"run": 7}, 409, "run"),
        ({"run": None}, 400, "run"),
        ({"status": "done"}, 400, "status"),
        ({"machine_state": "flying"}, 409, "machine_state"),
        ({"stf_filename": "swf.102827.000099.stf"}, 409, "stf_filename"),
        ({"checksum": "md5:1"}, 400, "checksum"),
        ({"file_url": "/etc/passwd"}, 409, "file_url"),
        ({"stf_filename": "nameless.stf", "metadata": {}}, 400, "sequence"),
        ({"metadata": {"sequence": 1, "start": "yesterday"}}, 400, "metadata"),
    ],
)
def test_what_cannot_be_an_stf_is_refused(
    daq: Agent, changes: dict[str, Any], status: int, field: str
) -> None:
    problem = daq.post("stf-files/", stf(**changes), status=status)

    assert errors(problem) == {field}
    assert not StfFile.objects.exists()


def test_of_a_list_it_is_said_where_it_is_wrong(daq: Agent) -> None:
    said = [stf(1), stf(2, checksum="md5:1"), stf(3)]

    problem = daq.post("stf-files/", said, status=400)

    assert [set(wrong) for wrong in problem["errors"]] == [set(), {"checksum"}, set()]


def test_an_stf_that_a_list_names_twice_is_created_once(daq: Agent) -> None:
    answer = daq.post("stf-files/", [stf(1), stf(2), stf(1)])

    assert [row["created"] for row in answer] == [True, True, False]
    assert not any(row["created"] for row in daq.post("stf-files/", [stf(1), stf(1)], status=200))


def test_it_must_be_the_same_both_times(daq: Agent) -> None:
    problem = daq.post("stf-files/", [stf(1), stf(1, tf_count=7)], status=409)

    assert errors(problem) == {"stf_filename"}
    assert not StfFile.objects.exists()


@pytest.mark.parametrize("state", [None, "unknown", "physics"])
def test_an_agent_that_does_not_know_the_state_means_physics(daq: Agent, state: str | None) -> None:
    notes = {"sequence": 1, "substate": None}
    answer = daq.post("stf-files/", stf(machine_state=state, metadata=notes))

    assert (answer["daq_state"], answer["daq_substate"]) == ("run", "physics")


def test_the_run_ends_with_the_stfs_that_were_registered(daq: Agent) -> None:
    daq.post("stf-files/", [stf(1), stf(2)])

    assert daq.patch(f"runs/{NUMBER}/", {"end_time": "2026-08-01T11:00:00"})["expected_stf_count"] == 2


def test_a_processing_agent_says_how_far_it_is(daq: Agent) -> None:
    """What it notes it finds again: it goes on from there after a restart."""
    path = f"stf-files/{daq.post('stf-files/', stf())['file_id']}/"
    notes = {"panda_tracking_agent": "processing-agent-ann-8", "panda_task_id": "42"}

    told = daq.patch(path, {"status": "processing", "metadata": notes})
    daq.patch(path, {"status": "processing", "metadata": notes})
    done = daq.patch(path, {"status": "processed"})

    assert (told["status"], told["metadata"], done["status"]) == ("processing", notes, "processed")
    assert done["metadata"] == notes
    entries = JournalEntry.objects.filter(kind="stf_remarked").order_by("id")
    assert [entry.payload.get("status") for entry in entries] == ["processing", "processed"]
    assert daq.get("stf-files/?status=processed")["results"][0]["sequence"] == 1
    assert daq.get("stf-files/?status=registered")["results"] == []


@pytest.mark.parametrize("after", ["registered", "processing", "failed"])
def test_a_status_that_does_not_follow_is_refused(daq: Agent, after: str) -> None:
    path = f"stf-files/{daq.post('stf-files/', stf())['file_id']}/"
    daq.patch(path, {"status": "processed"})

    problem = daq.patch(path, {"status": after}, status=409)
    assert errors(problem) == {"status"}
    assert "it leads to done" in problem["detail"]


def test_where_this_testbed_processes_its_facets_decide(agent: Agent, exit_buffer: Path) -> None:
    run = a_running_run(policy="both")
    one, two = registered(an_stf(run), an_stf(run, 2))
    states = {"waiting": "registered", "queued": "processing", "done": "processed", "failed": "failed"}
    path = f"stf-files/{one.stf_filename}/"

    for state, status in states.items():
        # Rows as they are after work that these tests need not do.
        done = {"done_at": "2026-08-01T10:00:00Z"} if state == "done" else {"done_at": None}
        one.processings.update(state=state, reason="it broke" if state == "failed" else "", **done)
        assert agent.get(path)["status"] == status
        (row,) = agent.get(f"stf-files/?run_number={run.run_number}&status={status}&sequence=1")["results"]
        assert row["status"] == status
        agent.patch(path, {"status": status})
    problem = agent.patch(f"stf-files/{two.stf_filename}/", {"status": "processed"}, status=409)
    assert "itself" in problem["errors"]["status"][0]
    assert kinds(run, "stf_remarked") == []


def test_lists_take_a_constant_number_of_queries(daq: Agent) -> None:
    daq.post("stf-files/", stf())
    few = queries_of(lambda: daq.client.get("/api/stf-files/"))
    daq.post("stf-files/", [stf(sequence) for sequence in range(1, 11)])

    assert queries_of(lambda: daq.client.get("/api/stf-files/")) == few
    assert [row["sequence"] for row in daq.get("stf-files/?ordering=sequence&limit=2")["results"]] == [1, 2]
