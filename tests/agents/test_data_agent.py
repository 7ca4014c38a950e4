"""The data agent's loops: all that waits is registered, followed, withdrawn and proved, and trouble stays where it is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone

from apps.agents.data.closer import Closer
from apps.agents.data.follower import Follower
from apps.agents.data.registrar import Registrar
from apps.runs import services as runs
from apps.runs.errors import RetryableError
from apps.runs.models import Run
from apps.stf.models import Replica, StfFile
from apps.stf.services import mark_released
from tests.factories import TO_PHYSICS, a_run, a_running_run, an_stf, ended, kinds
from tests.fakes.rucio import FakeRucio

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("exit_buffer")]


@pytest.fixture
def rucio() -> FakeRucio:
    return FakeRucio()


@pytest.fixture
def registrar(rucio: FakeRucio) -> Registrar:
    return Registrar(rucio)  # type: ignore[arg-type]


@pytest.fixture
def follower(rucio: FakeRucio) -> Follower:
    return Follower(rucio)  # type: ignore[arg-type]


@pytest.fixture
def closer(rucio: FakeRucio) -> Closer:
    return Closer(rucio)  # type: ignore[arg-type]


def registrations(run: Run) -> list[tuple[str, str]]:
    """State and reason of every STF of the run."""
    return list(run.stf_files.order_by("sequence").values_list("registration", "registration_reason"))


def copies(run: Run) -> set[str]:
    return set(Replica.objects.filter(stf__run=run).values_list("state", flat=True))


def buffer(run: Run) -> list[str]:
    return list(run.stf_files.order_by("sequence").values_list("buffer", flat=True))


def lifecycle(run: Run) -> str:
    run.refresh_from_db()
    return run.lifecycle


def name_of(run: Run) -> str:
    return f"swf.{run.run_number}.run"


class TestRegistrar:
    def test_the_dataset_is_open_before_the_first_stf(self, registrar: Registrar, rucio: FakeRucio) -> None:
        run = a_run()
        for pair in TO_PHYSICS[:2]:
            runs.advance(run.run_number, pair)
        for _ in range(2):
            registrar.step()

        assert rucio.calls == ["open_dataset"]
        assert run.dataset.did == f"group.daq:{name_of(run)}"
        assert run.dataset.rules.keys() == {"E1_BNL", "E1_JLAB"}

    def test_all_that_wait_are_registered_in_one_call(self, registrar: Registrar, rucio: FakeRucio) -> None:
        run = a_running_run()
        stfs = [an_stf(run, sequence) for sequence in range(1, 21)]
        assert registrar.step() is False

        assert rucio.calls == ["open_dataset", "register"]
        assert rucio.names_in(name_of(run)) == {stf.stf_filename for stf in stfs}
        assert registrations(run) == [("registered", "")] * 20
        assert copies(run) == {"requested"}

    def test_killed_between_rucio_and_database_it_registers_again(
        self, registrar: Registrar, rucio: FakeRucio
    ) -> None:
        def die(execute: Callable[..., Any], *statement: Any) -> Any:
            if "register" in rucio.calls:
                raise SystemExit
            return execute(*statement)

        run = a_running_run()
        an_stf(run)
        with connection.execute_wrapper(die), pytest.raises(SystemExit):
            registrar.step()
        assert registrations(run) == [("generated", "")]
        registrar.step()

        assert registrations(run) == [("registered", "")]
        assert kinds(run, "stf_ready") == ["stf_ready"]
        assert rucio.calls.count("register") == 2

    @pytest.mark.parametrize(
        ("spoil", "reason"),
        [
            (lambda path: path.unlink(), "cannot be read: No such file or directory"),
            (lambda path: path.write_bytes(b"cut"), "has 3 bytes, stf_gen said 22"),
        ],
    )
    def test_a_spoilt_file_fails_with_its_reason_and_harms_no_other(
        self, registrar: Registrar, spoil: Callable[[Path], object], reason: str
    ) -> None:
        run = a_running_run()
        for sequence in (1, 2, 3):
            an_stf(run, sequence, content=b"the bytes of the STF..")
        path = Path(run.stf_files.get(sequence=2).file_url)
        spoil(path)
        registrar.step()

        first, second, third = registrations(run)
        assert first == third == ("registered", "")
        assert second == ("failed", f"{path} {reason}")

    def test_one_that_rucio_refuses_harms_no_other(self, registrar: Registrar, rucio: FakeRucio) -> None:
        run = a_running_run()
        stfs = [an_stf(run, sequence) for sequence in (1, 2, 3)]
        rucio.refused = {stfs[1].stf_filename}
        registrar.step()

        assert registrations(run) == [
            ("registered", ""),
            ("failed", f"Rucio refuses it: InvalidObject: {stfs[1].stf_filename}"),
            ("registered", ""),
        ]

    def test_while_rucio_is_away_nothing_is_lost(self, registrar: Registrar, rucio: FakeRucio) -> None:
        run = a_running_run()
        an_stf(run)
        rucio.away = "connection refused"
        for _ in range(3):
            with pytest.raises(RetryableError, match="Rucio does not answer: connection refused"):
                registrar.step()
        assert registrations(run) == [("generated", "")]

        rucio.away = ""
        registrar.step()
        assert registrations(run) == [("registered", "")]

    def test_a_late_stf_opens_the_dataset_again(
        self, registrar: Registrar, follower: Follower, closer: Closer, rucio: FakeRucio
    ) -> None:
        run = a_running_run()
        an_stf(run)
        ended(run, count=1)
        _settle(registrar, rucio, follower, closer)
        assert not rucio.is_open(name_of(run))

        ended(run, count=2)
        an_stf(run, 2)
        registrar.step()
        assert rucio.is_open(name_of(run))
        assert registrations(run) == [("registered", "")] * 2

    def test_a_run_whose_sites_rucio_does_not_know_harms_no_other(
        self, registrar: Registrar, rucio: FakeRucio
    ) -> None:
        lost, run = a_running_run(rses=["E1_MARS"]), a_running_run()
        rucio.refused = {"E1_MARS"}
        for each in (lost, run):
            an_stf(each)
        registrar.step()

        assert registrations(run) == [("registered", "")]
        [(state, reason)] = registrations(lost)
        assert state == "failed"
        assert reason.startswith("Rucio refuses its dataset: InvalidRSEExpression")


class TestFollower:
    @pytest.fixture
    def run(self, registrar: Registrar) -> Run:
        """A run with two registered STFs."""
        run = a_running_run()
        for sequence in (1, 2):
            an_stf(run, sequence)
        registrar.step()
        return run

    def test_copies_are_followed_until_they_are_verified(
        self, follower: Follower, rucio: FakeRucio, run: Run
    ) -> None:
        follower.follow()
        assert copies(run) == {"transferring"}
        assert buffer(run) == ["held", "held"]

        rucio.make_copies()
        for _ in range(2):
            follower.follow()
        assert copies(run) == {"verified"}
        assert buffer(run) == ["releasable", "releasable"]
        assert len(kinds(run, "stf_replicated")) == 4

    def test_nothing_is_asked_when_nothing_is_under_way(
        self, follower: Follower, rucio: FakeRucio, run: Run
    ) -> None:
        rucio.make_copies()
        follower.follow()
        rucio.calls.clear()
        follower.follow()

        assert rucio.calls == []

    def test_a_copy_that_fails_says_why_is_tried_again_and_arrives(
        self, follower: Follower, rucio: FakeRucio, run: Run
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
        self,
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

    def test_while_rucio_is_away_copies_stay_as_they_are(
        self, follower: Follower, rucio: FakeRucio, run: Run
    ) -> None:
        rucio.away = "connection refused"
        with pytest.raises(RetryableError):
            follower.follow()

        assert copies(run) == {"requested"}

    def test_a_run_whose_rule_is_gone_harms_no_other(
        self, follower: Follower, registrar: Registrar, rucio: FakeRucio, run: Run
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


class TestWithdrawals:
    def test_what_has_left_the_buffer_is_withdrawn_once(
        self, registrar: Registrar, follower: Follower, rucio: FakeRucio
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
        self, registrar: Registrar, follower: Follower, rucio: FakeRucio
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


class TestCloser:
    def test_a_complete_run_is_closed_and_its_dataset_too(
        self, registrar: Registrar, follower: Follower, closer: Closer, rucio: FakeRucio
    ) -> None:
        run = a_running_run()
        an_stf(run)
        ended(run, count=1)
        _settle(registrar, rucio, follower, closer)

        assert lifecycle(run) == "closed"
        assert not rucio.is_open(name_of(run))
        assert kinds(run, "dataset_closed", "run_closed") == ["run_closed", "dataset_closed"]

    def test_a_run_that_waits_is_asked_again_but_not_all_the_time(self, closer: Closer) -> None:
        run = ended(a_running_run(), count=1)
        closer.step()
        asked = run.proof.evaluated_at
        closer.step()
        run.proof.refresh_from_db()
        assert run.proof.evaluated_at == asked
        assert lifecycle(run) == "incomplete"

        run.proof.evaluated_at = timezone.now() - timedelta(seconds=6)
        run.proof.save()
        closer.step()
        run.proof.refresh_from_db()
        assert run.proof.evaluated_at > asked

    def test_a_rucio_that_is_away_keeps_no_run_from_its_verdict(
        self, registrar: Registrar, follower: Follower, closer: Closer, rucio: FakeRucio
    ) -> None:
        run = a_running_run()
        an_stf(run)
        registrar.step()
        rucio.make_copies()
        follower.follow()
        ended(run, count=1)
        rucio.away = "connection refused"
        with pytest.raises(RetryableError):
            closer.step()
        assert lifecycle(run) == "closed"

        rucio.away = ""
        closer.step()
        assert not rucio.is_open(name_of(run))


def test_overlapping_runs_do_not_touch_each_other(
    registrar: Registrar, follower: Follower, closer: Closer, rucio: FakeRucio
) -> None:
    run, other = a_running_run(), a_running_run(rses=["E1_BNL"])
    for sequence in (1, 2):
        an_stf(run, sequence)
        an_stf(other, sequence)
    rucio.failing = {(stf.stf_filename, "E1_JLAB"): "no space left" for stf in run.stf_files.all()}
    for each in (run, other):
        ended(each, count=2)
    _settle(registrar, rucio, follower, closer)

    assert lifecycle(other) == "closed"
    assert lifecycle(run) == "incomplete"
    assert {item["kind"] for item in run.proof.missing} == {"not verified"}
    assert rucio.names_in(name_of(run)).isdisjoint(rucio.names_in(name_of(other)))


def _settle(registrar: Registrar, rucio: FakeRucio, follower: Follower, closer: Closer) -> None:
    """Let every loop have its turn."""
    registrar.step()
    rucio.make_copies()
    follower.follow()
    closer.step()
