"""The simulated DAQ drives a run through its script, obeys its operator, and goes on where it was killed."""

from __future__ import annotations

import itertools
import time
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.agents.daqsim import checkpoint as checkpoints
from apps.agents.daqsim import driver
from apps.agents.daqsim.checkpoint import LostCheckpoint
from apps.agents.daqsim.driver import RunDriver
from apps.agents.daqsim.stf_source import SimulatedSource
from apps.agents.models import DaqCheckpoint, DeadLetter
from apps.runs.errors import RetryableError, TransitionRefused
from apps.runs.models import Run
from tests.agents.daq import a_daq_run, announced, drive, killed_after, phase, tell
from tests.factories import kinds
from tests.parallel import in_parallel

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("exit_buffer", "no_waiting")]

BEFORE = ["run_workflow", "core_state", "run_imminent", "core_state", "start_run"]
AFTER = ["end_run", "core_state"]


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is held does not wait between looks."""
    monkeypatch.setattr(driver, "MOST_SLEEP", 0.0)


def check_stfs(run: Run) -> None:
    """Every STF was announced once, in order, and lies in the buffer with the bytes that were said."""
    said = announced(run)
    assert [stf["sequence"] for stf in said] == list(range(1, len(said) + 1))
    source = SimulatedSource(run)
    for stf in said:
        content = Path(stf["file_url"]).read_bytes()
        assert stf["size_bytes"] == len(content)
        assert stf["checksum"] == f"{zlib.adler32(content):08x}" == source.make(stf["sequence"])["checksum"]


def check_ended(run: Run, *, stfs: int | None = None) -> None:
    """The run has ended with the number of STFs that were announced."""
    run.refresh_from_db()
    assert run.lifecycle == "ended"
    assert (run.state, run.substate) == ("no_beam", "not_ready")
    assert run.expected_stf_count == len(announced(run))
    assert stfs is None or run.expected_stf_count == stfs
    check_stfs(run)


def test_the_whole_script_is_said_in_order() -> None:
    run = a_daq_run(physics_period_count=2, stf_count=2)
    assert drive(run)

    stfs = ["stf_gen", "stf_gen"]
    assert kinds(run) == [*BEFORE, *stfs, "pause_run", "resume_run", *stfs, *AFTER]
    states = [
        (entry.payload["state"], entry.payload["substate"])
        for entry in run.journal.exclude(kind__in=["run_workflow", "stf_gen"]).order_by("id")
    ]
    assert states == [
        ("no_beam", "not_ready"),
        ("beam", "not_ready"),
        ("beam", "ready"),
        ("run", "physics"),
        ("run", "standby"),
        ("run", "physics"),
        ("beam", "not_ready"),
        ("no_beam", "not_ready"),
    ]
    check_ended(run, stfs=4)


def test_what_is_said_of_an_stf_is_so() -> None:
    run = a_daq_run(stf_count=2, tf_count=2)
    drive(run)
    first, second = announced(run)

    assert first["filename"] == f"swf.{run.run_number}.000001.stf"
    assert (first["tf_first"], first["tf_count"], second["tf_first"]) == (0, 2, 2)
    assert (first["state"], first["substate"]) == ("run", "physics")
    assert first["end"] == second["start"]
    assert first["checksum"] != second["checksum"]


def test_a_period_without_a_count_lasts_its_time() -> None:
    times = {"physics_period_duration": 1.0, "stf_interval": 0.2, "stf_generation_time": 0.05}
    run = a_daq_run(stf_count=None, **times)
    drive(run)

    check_ended(run, stfs=4)


def test_a_run_of_unlimited_periods_goes_on_until_it_is_stopped() -> None:
    run = a_daq_run(physics_period_count=0, stf_count=2)
    assert not drive(run, steps=40)
    assert len(announced(run)) > 10

    tell(run, "stop", reason="enough")
    assert drive(run)
    check_ended(run)


def test_in_real_time_stfs_come_at_their_interval() -> None:
    no_delay = dict.fromkeys(
        [
            "no_beam_not_ready_delay",
            "beam_not_ready_delay",
            "beam_ready_delay",
            "broadcast_delay",
            "beam_not_ready_end_delay",
            "stf_generation_time",
        ],
        0.0,
    )
    run = a_daq_run(realtime=True, stf_interval=0.03, stf_count=4, **no_delay)
    started = time.monotonic()
    drive(run, steps=1_000_000)

    assert time.monotonic() - started >= 3 * 0.03
    check_ended(run, stfs=4)


PHASES = list(range(9))


@pytest.mark.parametrize("steps", PHASES)
@pytest.mark.parametrize("wish", ["stop", "abort"])
def test_a_run_can_be_ended_in_every_phase(steps: int, wish: str) -> None:
    run = a_daq_run(physics_period_count=2, stf_count=1)
    drive(run, steps=steps)
    tell(run, wish, reason="beam is bad")
    assert drive(run, steps=5)

    check_ended(run)
    assert run.journal.get(kind="end_run").payload["reason"] == "beam is bad"
    assert run.abort_reason == ("beam is bad" if wish == "abort" else "")


@pytest.mark.parametrize("steps", PHASES)
def test_a_run_that_is_paused_in_any_phase_is_held_in_standby_and_goes_on(steps: int) -> None:
    run = a_daq_run(physics_period_count=2, stf_count=1)
    drive(run, steps=steps)
    tell(run, "pause", reason="coffee")
    assert not drive(run, steps=20)

    run.refresh_from_db()
    assert (phase(run), run.lifecycle, run.substate) == ("held", "paused", "standby")
    assert run.journal.filter(kind="pause_run").latest("id").payload["reason"] == "coffee"
    tell(run, "resume")
    assert drive(run)
    check_ended(run, stfs=2)


@pytest.mark.parametrize("wish", ["stop", "abort"])
def test_a_held_run_can_be_ended(wish: str) -> None:
    run = a_daq_run()
    drive(run, steps=6)
    tell(run, "pause")
    drive(run, steps=3)
    tell(run, wish)
    assert drive(run)

    check_ended(run)


def test_an_abort_without_a_reason_is_still_an_abort() -> None:
    run = a_daq_run()
    tell(run, "abort")
    drive(run)

    run.refresh_from_db()
    assert run.abort_reason == "aborted by the operator"


def test_a_stop_is_not_taken_back_and_an_abort_outranks_it() -> None:
    run = a_daq_run()
    for wish in ("stop", "pause", "resume", "abort", "stop"):
        tell(run, wish)

    assert DaqCheckpoint.objects.get(run=run).command == "abort"


def test_a_wish_for_a_run_that_is_done_is_parked() -> None:
    run = a_daq_run()
    drive(run)
    tell(run, "pause")

    assert DeadLetter.objects.get().reason == f"the DAQ is done with run {run.run_number}"


WISHES = st.sampled_from(["pause", "resume", "stop", "abort"])
EVENTS = st.lists(st.one_of(st.integers(0, 40), WISHES, st.sampled_from(["step"] * 3)), max_size=8)
SLOW = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@settings(max_examples=15, suppress_health_check=SLOW)
@given(events=EVENTS)
def test_killed_and_commanded_at_any_point_a_run_ends_with_every_stf_once(
    transactional_db: None, events: list[int | str]
) -> None:
    """A number kills the DAQ after so many statements; a wish comes from the operator."""
    run = a_daq_run(physics_period_count=2, stf_count=2)
    for event in events:
        if isinstance(event, int):
            with killed_after(event):
                drive(run, steps=20)
        elif event == "step":
            drive(run, steps=1)
        else:
            tell(run, event)
    tell(run, "resume")
    assert drive(run)

    check_ended(run, stfs=None if {"stop", "abort"} & set(events) else 4)
    assert kinds(run, "end_run") == ["end_run"]
    assert len(kinds(run, "start_run")) <= 1


def test_killed_at_every_single_statement_the_run_is_the_same(transactional_db: None) -> None:
    undisturbed, run = a_daq_run(physics_period_count=2), a_daq_run(physics_period_count=2)
    drive(undisturbed)
    kills = 0
    while phase(run) != "done":
        for statements in itertools.count():
            survived = False
            with killed_after(statements):
                drive(run, steps=1)
                survived = True
            if survived:
                break
            kills += 1

    assert kills > 70
    check_ended(run, stfs=6)
    assert kinds(run) == kinds(undisturbed)


def test_a_refused_state_is_said_in_the_journal_once() -> None:
    run = a_daq_run()
    driver = RunDriver(run)
    drive(run, steps=2, driver=driver)
    Run.objects.filter(pk=run.pk).update(state="calib", substate="calib")
    for _ in range(3):
        with pytest.raises(TransitionRefused):
            driver.step()

    [refused] = run.journal.filter(kind="transition_refused")
    assert refused.payload["facet"] == "core state"
    assert refused.payload["reason"].startswith(f"run {run.run_number}: calib/calib does not lead to ")


def test_a_driver_whose_run_was_moved_on_gives_way() -> None:
    run = a_daq_run(physics_period_count=2, stf_count=1)
    drive(run, steps=4)
    stale = DaqCheckpoint.objects.get(run=run)
    drive(run, steps=1)
    with pytest.raises(LostCheckpoint, match="another process made STF 1"):
        checkpoints.announce_stf(stale, run, {"filename": "x"})
    # Through standby and back into the same phase.
    drive(run, steps=2)
    assert phase(run) == stale.phase
    with pytest.raises(LostCheckpoint, match="another process moved it on"):
        checkpoints.enter(stale, stale.phase)


def test_no_stf_is_announced_after_the_end_of_its_run() -> None:
    run = a_daq_run()
    drive(run, steps=5)
    stale = DaqCheckpoint.objects.get(run=run)
    tell(run, "stop")
    drive(run)

    with pytest.raises(LostCheckpoint):
        checkpoints.announce_stf(stale, run, {"filename": "x"})
    check_ended(run, stfs=1)


def test_two_drivers_at_once_make_every_stf_once(transactional_db: None) -> None:
    run = a_daq_run(physics_period_count=2, stf_count=10)

    def drive_on() -> None:
        one = RunDriver(Run.objects.select_related("execution").get(pk=run.pk))
        while not one.done:
            try:
                one.step()
            except (LostCheckpoint, RetryableError):
                continue  # moved on by the other, or its half-written file was cleaned up: as the loop does

    in_parallel(drive_on, drive_on)

    check_ended(run, stfs=20)
