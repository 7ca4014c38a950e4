"""A pilot and a job whose PanDA or Rucio is away, loses an answer, or refuses what the job has made."""

from __future__ import annotations

from typing import Any

import pytest

from services.panda.pilot import attempt
from services.panda.pilot.catalogue import Refused
from services.panda.pilot.errors import Away, Code
from tests.services.pilot.fakes import described
from tests.services.pilot.world import OUTPUT, World


def test_job_that_is_killed_when_its_results_are_stored_takes_them_back(world: World) -> None:
    def kill() -> None:
        world.catalogue.after_register = None
        world.panda.states[7] = "cancelled"
        raise Away("the answer is lost")

    world.catalogue.after_register = kill
    world.do(described(command="echo a > out.txt; sleep 0.2"))
    assert world.catalogue.outputs == world.catalogue.stored() == set()


@pytest.mark.parametrize("state", ["failed", "cancelled", "closed"])
def test_outputs_of_a_job_that_was_given_up_meanwhile_are_withdrawn(world: World, state: str) -> None:
    world.catalogue.after_register = lambda: world.panda.states.update({7: state})
    world.do(described(command="echo a > out.txt"))
    assert world.catalogue.registrations == 1
    assert world.catalogue.outputs == set()
    assert world.catalogue.stored() == set()
    assert world.directories() == []


def test_outputs_of_another_attempt_do_not_count(world: World) -> None:
    world.catalogue.after_register = lambda: world.panda.attempts.update({7: 2})
    world.do(described(command="echo a > out.txt"))
    assert world.catalogue.outputs == set()


@pytest.mark.parametrize("state", ["holding", "finished", "not found"])
def test_report_whose_answer_was_lost_is_sent_again_and_its_outputs_stay(world: World, state: str) -> None:
    def lose(report: dict[str, Any]) -> None:
        if report["job_status"] == "finished":
            world.panda.after_update = None
            world.panda.states[7] = state
            raise Away("connection reset")

    world.panda.after_update = lose
    world.do(described(command="echo a > out.txt"))
    assert world.catalogue.outputs == world.catalogue.stored() == {OUTPUT}
    assert (7, "connection reset") in world.said


def test_panda_that_is_away_does_not_hold_up_a_payload(world: World) -> None:
    def leave(report: dict[str, Any]) -> None:
        world.panda.after_update = None
        world.panda.faults += ["away"] * 8

    world.panda.after_update = leave
    report = world.do(described(command="sleep 0.3; echo a > out.txt"))
    assert report["job_status"] == "finished"
    assert world.said.count((7, "away")) >= 1
    assert world.said[-1] == (None, None)
    assert world.catalogue.outputs == {OUTPUT}


def test_rucio_that_is_away_is_waited_for(world: World) -> None:
    world.catalogue.faults += [Away("Rucio is away")] * 3
    assert world.do(described(command="echo a > out.txt"))["job_status"] == "finished"
    assert (7, "Rucio is away") in world.said


def test_results_wait_for_rucio(world: World) -> None:
    away = f"touch {world.settings.parent}/away; echo a > out.txt"
    replicas = world.catalogue.replicas

    def then_away(files: Any) -> Any:
        found = replicas(files)
        world.catalogue.faults += [Away("Rucio is away")] * 3
        return found

    world.catalogue.replicas = then_away  # type: ignore[method-assign]
    assert world.do(described(command=away))["job_status"] == "finished"
    assert world.catalogue.outputs == {OUTPUT}


def test_input_is_not_waited_for_for_ever(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempt, "INPUT_SECONDS", 0.05)
    world.catalogue.faults += [Away("Rucio is away")] * 100
    report = world.do(described())
    assert report["pilot_error_code"] == Code.STAGE_IN
    assert "Rucio is away" in report["pilot_error_diag"]


def test_results_that_rucio_refuses_are_taken_back(world: World) -> None:
    def refuse() -> None:
        world.catalogue.after_register = None
        raise Refused("InvalidObject: bytes")

    world.catalogue.after_register = refuse
    report = world.do(described(command="echo a > out.txt"))
    assert (report["job_status"], report["pilot_error_code"]) == ("failed", Code.STAGE_OUT)
    assert "InvalidObject" in report["pilot_error_diag"]
    assert world.catalogue.outputs == world.catalogue.stored() == set()
