"""The core state machine: the table is sound, the script of a run is in it, refusals tell the way out."""

from __future__ import annotations

import itertools

import pytest

from apps.runs.core_states import (
    LEGAL_PAIRS,
    TRANSITIONS,
    CoreState,
    CoreSubstate,
    is_legal,
    transition,
    transitions_from,
    why_refused,
)

COLOURS = {"grey", "blue", "green", "amber", "red", "purple"}


def test_every_row_joins_two_different_legal_pairs_and_is_listed_once() -> None:
    for row in TRANSITIONS:
        assert row.before in LEGAL_PAIRS
        assert row.after in LEGAL_PAIRS
        assert row.before != row.after
    assert len({(row.before, row.after) for row in TRANSITIONS}) == len(TRANSITIONS)


def test_the_script_of_a_run_says_the_five_messages_in_order() -> None:
    script = [
        ("off", ""),
        ("no_beam", "not_ready"),
        ("beam", "not_ready"),
        ("beam", "ready"),
        ("run", "physics"),
        ("run", "standby"),
        ("run", "physics"),
        ("beam", "not_ready"),
        ("no_beam", "not_ready"),
        ("off", ""),
    ]
    rows = [transition(before, after) for before, after in itertools.pairwise(script)]
    assert None not in rows
    said = [row.name for row in rows if row and row.name]
    assert said == ["run_imminent", "start_run", "pause_run", "resume_run", "end_run"]


def test_off_can_be_reached_from_every_state_that_a_transition_leads_to() -> None:
    safe = {("off", "")}
    while grown := {row.before for row in TRANSITIONS if row.after in safe} - safe:
        safe |= grown
    assert {row.after for row in TRANSITIONS} <= safe


@pytest.mark.parametrize(
    ("state", "substate", "legal"),
    [
        ("off", "", True),
        ("off", "not_ready", False),
        ("run", "", False),
        ("run", "physics", True),
        ("run", "ready", False),
        ("beam", "lumi", True),
        ("no_beam", "lumi", False),
        ("no_beam", "calib", True),
        ("calib", "not_ready", True),
        ("calib", "physics", False),
        ("test", "standby", True),
        ("cosmics", "physics", False),
        ("run", "warm", False),
    ],
)
def test_which_substates_exist_in_which_state(state: str, substate: str, legal: bool) -> None:
    assert is_legal(state, substate) is legal


def test_flavors_stamp_side_streams_and_are_not_steps() -> None:
    assert not transitions_from(("run", "lumi"))
    assert not [row for row in TRANSITIONS if row.after == ("run", "lumi")]


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        (
            ("beam", "ready"),
            ("run", "standby"),
            "beam/ready does not lead to run/standby; "
            "it leads to run/physics (start_run), beam/not_ready, no_beam/not_ready",
        ),
        (
            ("off", ""),
            ("run", "ready"),
            "run/ready is not a legal pair: run allows physics, standby, lumi, eic, epic, daq, calib",
        ),
        (
            ("off", ""),
            ("cosmics", "physics"),
            "cosmics/physics is not a legal pair: the states are off, no_beam, beam, run, calib, test",
        ),
        (
            ("off", "ready"),
            ("off", ""),
            "off/ready is not a legal pair: off allows no substate, eic, epic, daq, calib",
        ),
        (("run", "physics"), ("run", "physics"), "the state is run/physics already"),
        (("run", "eic"), ("run", "physics"), "run/eic does not lead to run/physics; it leads to nothing"),
        (("off", ""), ("no_beam", "not_ready"), ""),
    ],
)
def test_a_refusal_says_what_is_possible(before: tuple[str, str], after: tuple[str, str], why: str) -> None:
    assert why_refused(before, after) == why
    assert (transition(before, after) is None) is bool(why)


def test_members_are_plain_strings_with_label_and_colour() -> None:
    assert CoreState("run") is CoreState.RUN
    assert f"{CoreState.RUN}/{CoreSubstate.PHYSICS}" == "run/physics"
    assert {member.colour for member in (*CoreState, *CoreSubstate)} <= COLOURS
    assert CoreState.NO_BEAM.label == "No beam"
