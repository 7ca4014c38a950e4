"""The follower: copies until they are verified, failed ones again, and what left the buffer is withdrawn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from django.conf import settings
from django.utils import timezone

from apps.agents.data.follower import Follower
from apps.agents.data.registrar import Registrar
from apps.runs.errors import RetryableError
from apps.runs.models import Run
from apps.stf.models import Replica, StfFile
from apps.stf.services import mark_released
from tests.agents.catalogue import buffer, copies
from tests.factories import a_running_run, an_stf, kinds
from tests.fakes.rucio import FakeRucio

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("exit_buffer")]


@pytest.fixture
def run(registrar: Registrar) -> Run:
    """A run with two registered STFs."""
    run = a_running_run()
    for sequence in (1, 2):
        an_stf(run, sequence)
    registrar.step()
    return run


def test_copies_are_followed_until_they_are_verified(follower: Follower, rucio: FakeRucio, run: Run) -> None:
    follower.follow()
    assert copies(run) == {"transferring"}
    assert buffer(run) == ["held", "held"]

    rucio.make_copies()
    for _ in range(2):
        follower.follow()
    assert copies(run) == {"verified"}
    assert buffer(run) == ["releasable", "releasable"]
    assert len(kinds(run, "stf_replicated")) == 4


def test_nothing_is_asked_when_nothing_is_under_way(follower: Follower, rucio: FakeRucio, run: Run) -> None:
    rucio.make_copies()
    follower.follow()
    rucio.calls.clear()
    follower.follow()

    assert rucio.calls == []


def test_a_copy_that_fails_says_why_is_tried_again_and_arrives(
    follower: Follower, rucio: FakeRucio, run: Run
) -> None:
    first = run.stf_files.get(sequence=1)
    rucio.failing = {(first.stf_filename, "E1_JLAB"): "no space left at JLab"}
    rucio.make_copies()
    follower.follow()
    failed = Replica.objects.get(stf=first, rse="E1_JLAB")
    assert (failed.state, failed.reason) == ("failed", "no space left at JLab")
    assert buffer(run) == ["held", "releasable"]

    rucio.calls.clear()
    follower.follow()
    assert rucio.calls == []

    rucio.failing = {}
    for _ in range(2):
        # The pause after the failure, then the one in which Rucio gets round to it.
        Replica.objects.filter(pk=failed.pk).update(retry_at=timezone.now())
        follower.follow()
        rucio.make_copies()
    assert "retry" in rucio.calls
    assert buffer(run) == ["releasable", "releasable"]
    assert kinds(run, "stf_replica_failed") == ["stf_replica_failed"]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda path: path.unlink(), "cannot be read: No such file or directory"),
        (lambda path: path.write_bytes(b"cut"), "has 3 bytes, stf_gen said"),
        (lambda path: path.write_bytes(path.read_bytes()[::-1]), "was altered: its adler32 is"),
    ],
)
def test_a_failed_copy_of_a_spoilt_source_blames_the_source(
    follower: Follower,
    rucio: FakeRucio,
    run: Run,
    spoil: Callable[[Path], object],
    reason: str,
) -> None:
    first = run.stf_files.get(sequence=1)
    spoil(Path(first.file_url))
    rucio.failing = {(first.stf_filename, "E1_BNL"): "checksum mismatch"}
    rucio.make_copies()
    follower.follow()

    assert f"{first.file_url} {reason}" in Replica.objects.get(stf=first, rse="E1_BNL").reason
    assert buffer(run) == ["held", "releasable"]


def test_old_copies_that_are_stuck_do_not_hide_younger_ones(
    monkeypatch: pytest.MonkeyPatch, follower: Follower, registrar: Registrar, rucio: FakeRucio, run: Run
) -> None:
    monkeypatch.setattr("apps.agents.data.follower.MOST_REPLICAS", 4)
    monkeypatch.setattr("apps.agents.data.follower.WINDOW", 2)
    for sequence in range(3, 7):
        an_stf(run, sequence)
    registrar.step()
    stuck = run.stf_files.filter(sequence__lte=2).values_list("stf_filename", flat=True)
    rucio.stuck = {(name, rse) for name in stuck for rse in ("E1_BNL", "E1_JLAB")}
    rucio.make_copies()
    for _ in range(4):
        follower.follow()

    assert buffer(run) == ["held", "held"] + 4 * ["releasable"]


def test_while_rucio_is_away_copies_stay_as_they_are(follower: Follower, rucio: FakeRucio, run: Run) -> None:
    rucio.away = "connection refused"
    with pytest.raises(RetryableError):
        follower.follow()

    assert copies(run) == {"requested"}


def test_a_run_whose_rule_is_gone_harms_no_other(
    follower: Follower, registrar: Registrar, rucio: FakeRucio, run: Run
) -> None:
    other = a_running_run()
    an_stf(other)
    registrar.step()
    stf = run.stf_files.get(sequence=1)
    rucio.failing = {(stf.stf_filename, "E1_BNL"): "no space left"}
    rucio.make_copies()
    follower.follow()
    Replica.objects.filter(stf__run=other).update(state="requested", verified_at=None)
    Replica.objects.filter(state="failed").update(retry_at=timezone.now())
    run.dataset.rules = dict.fromkeys(run.dataset.rules, "gone")
    run.dataset.save()
    with pytest.raises(RetryableError, match=f"run {run.run_number}: Rucio refuses: RuleNotFound: gone"):
        follower.follow()

    assert copies(other) == {"verified"}


def test_what_has_left_the_buffer_is_withdrawn_once(
    registrar: Registrar, follower: Follower, rucio: FakeRucio
) -> None:
    run = a_running_run()
    released, _ = an_stf(run), an_stf(run, 2)
    registrar.step()
    rucio.make_copies()
    follower.follow()
    mark_released(run, [released.pk])
    rucio.calls.clear()
    for _ in range(2):
        follower.withdraw()

    assert rucio.calls == ["withdraw"]
    states = rucio.copy_states("group.daq", {stf.stf_filename for stf in run.stf_files.all()})
    assert states[released.stf_filename, settings.SWF_E0_RSE] == "failed"
    assert sorted(states.values()).count("failed") == 1


def test_while_rucio_is_away_withdrawals_wait(
    registrar: Registrar, follower: Follower, rucio: FakeRucio
) -> None:
    run = a_running_run()
    stf = an_stf(run)
    registrar.step()
    rucio.make_copies()
    follower.follow()
    mark_released(run, [stf.pk])
    rucio.away = "connection refused"
    with pytest.raises(RetryableError):
        follower.withdraw()
    rucio.away = ""
    follower.withdraw()

    assert StfFile.objects.get().withdrawn_at is not None
