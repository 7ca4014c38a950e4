"""The exit buffer lets go of what is safe, by the run's policy, and of nothing else."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from apps.agents.daqsim.exit_buffer import release
from apps.runs.models import Run
from apps.stf.choices import ReplicaState
from apps.stf.models import StfFile
from apps.stf.services import mark_registration_failed
from tests.agents.daq import killed_after
from tests.factories import a_running_run, an_stf, change_replicas, kinds, registered, verified

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("exit_buffer")]

STF_BYTES = 100
AT_ONCE = {"release_policy": "at_once"}
KEEP = {"release_policy": "keep"}
AFTER_TIME = {"release_policy": "after_time", "release_after_seconds": 60}
# The mark is at 500 bytes.
ABOVE_FILL = {"release_policy": "above_fill", "capacity_bytes": 1000, "fill_mark": 0.5}


def stfs(run: Run, *sequences: int) -> list[StfFile]:
    return [an_stf(run, sequence, content=bytes(STF_BYTES)) for sequence in sequences]


def in_buffer(run: Run) -> list[int]:
    """The sequences whose files are there; what the database says must agree."""
    there = [stf.sequence for stf in run.stf_files.all() if Path(stf.file_url).exists()]
    assert there == [stf.sequence for stf in run.stf_files.exclude(buffer="released")]
    return there


def pass_time(run: Run, minutes: int, *sequences: int) -> None:
    """Let these STFs have been releasable for so long."""
    run.stf_files.filter(sequence__in=sequences).update(
        releasable_at=timezone.now() - timedelta(minutes=minutes)
    )


@pytest.mark.parametrize(
    ("policy", "stay"),
    [(AT_ONCE, []), (KEEP, [1, 2, 3]), (AFTER_TIME, [2, 3]), (ABOVE_FILL, [1, 2, 3])],
    ids=["at_once", "keep", "after_time", "above_fill"],
)
def test_each_policy_deletes_what_it_should(policy: dict[str, Any], stay: list[int]) -> None:
    run = a_running_run(**policy)
    verified(*stfs(run, 1, 2, 3))
    pass_time(run, 2, 1)
    release()

    assert in_buffer(run) == stay
    assert len(kinds(run, "stf_released")) == 3 - len(stay)


def test_above_its_mark_the_buffer_lets_the_oldest_go_down_to_the_mark() -> None:
    run = a_running_run(**ABOVE_FILL)
    verified(*stfs(run, *range(1, 9)))
    pass_time(run, 9, 4)
    pass_time(run, 8, 7)
    release()
    assert in_buffer(run) == [2, 3, 5, 6, 8]

    release()
    assert in_buffer(run) == [2, 3, 5, 6, 8]


@pytest.mark.parametrize(
    "policy",
    [AT_ONCE, KEEP, AFTER_TIME | {"release_after_seconds": 0}, ABOVE_FILL | {"fill_mark": 0.0}],
    ids=["at_once", "keep", "after_time", "above_fill"],
)
def test_no_policy_deletes_what_is_not_safe(policy: dict[str, Any]) -> None:
    run = a_running_run(**policy)
    generated, failed, ready, half, mismatched = stfs(run, 1, 2, 3, 4, 5)
    mark_registration_failed(run, {failed.pk: "bad"})
    registered(ready)
    verified(half, mismatched, at=["E1_BNL"])
    change_replicas([mismatched], ReplicaState.FAILED, at=["E1_JLAB"], reason="adler32 mismatch")
    release()

    assert in_buffer(run) == [1, 2, 3, 4, 5]
    assert generated.buffer == "held"


def test_each_run_has_its_own_policy() -> None:
    runs = [a_running_run(**KEEP), a_running_run(**AT_ONCE)]
    for run in runs:
        verified(*stfs(run, 1))
    release()

    assert [in_buffer(run) for run in runs] == [[1], []]


def test_a_file_that_is_gone_already_is_said_to_be_released() -> None:
    run = a_running_run(**AT_ONCE)
    [stf] = verified(*stfs(run, 1))
    Path(stf.file_url).unlink()
    release()

    assert in_buffer(run) == []
    assert kinds(run, "stf_released") == ["stf_released"]


def test_killed_at_any_point_the_word_follows_the_deed(transactional_db: None) -> None:
    run = a_running_run(**AT_ONCE)
    for sequence in range(1, 16):
        verified(*stfs(run, sequence))
        with killed_after(sequence):
            release()
        for stf in run.stf_files.filter(buffer="released"):
            assert not Path(stf.file_url).exists()
    release()

    assert in_buffer(run) == []
    assert len(kinds(run, "stf_released")) == 15
