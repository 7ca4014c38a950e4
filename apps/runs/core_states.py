"""The core state machine between the DAQ (E0) and the computing sites (E1), as data.

A core state says what machine and detector do (`run`), a substate how (`physics`). Substates are of two
families: *readiness* substates are steps of data taking and change by the transitions below; *flavors*
(`lumi`, `eic`, `epic`, `daq`, `calib`) stamp side streams, recorded while the core state stays as it is, so
no transition leads to them.

The DAQ owns this state; everybody else mirrors it and asks `transition()` whether a reported change exists.
All functions take plain strings as they come off the wire; an unknown name is simply not legal.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class _Shown(StrEnum):
    """A string that knows how pages show it: a label and a colour (grey, blue, green, amber, red, purple)."""

    label: str
    colour: str

    # The defaults are for type checkers, which read `CoreState("run")` as a call of this method.
    def __new__(cls, value: str, label: str = "", colour: str = "grey") -> _Shown:
        member = str.__new__(cls, value)
        member._value_ = value
        member.label = label
        member.colour = colour
        return member


class CoreState(_Shown):
    """What the collider and the detector as a whole are doing."""

    OFF = "off", "Off", "grey"
    NO_BEAM = "no_beam", "No beam", "grey"
    BEAM = "beam", "Beam", "blue"
    RUN = "run", "Run", "green"
    CALIB = "calib", "Calibration", "purple"
    TEST = "test", "Test", "purple"


class CoreSubstate(_Shown):
    """How far data taking is (readiness), or which side stream a file belongs to (flavor)."""

    NONE = "", "", "grey"
    NOT_READY = "not_ready", "Not ready", "amber"
    READY = "ready", "Ready", "blue"
    PHYSICS = "physics", "Physics", "green"
    STANDBY = "standby", "Standby", "amber"
    LUMI = "lumi", "Luminosity", "purple"
    EIC = "eic", "Machine data", "purple"
    EPIC = "epic", "Detector data", "purple"
    DAQ = "daq", "DAQ data", "purple"
    CALIB = "calib", "Calibration data", "purple"


Pair = tuple[str, str]

FLAVORS = frozenset(
    {CoreSubstate.LUMI, CoreSubstate.EIC, CoreSubstate.EPIC, CoreSubstate.DAQ, CoreSubstate.CALIB}
)
_EVERYWHERE = FLAVORS - {CoreSubstate.LUMI}

SUBSTATES_OF: dict[CoreState, frozenset[CoreSubstate]] = {
    CoreState.OFF: _EVERYWHERE | {CoreSubstate.NONE},
    CoreState.NO_BEAM: _EVERYWHERE | {CoreSubstate.NOT_READY},
    CoreState.BEAM: FLAVORS | {CoreSubstate.NOT_READY, CoreSubstate.READY},
    CoreState.RUN: FLAVORS | {CoreSubstate.PHYSICS, CoreSubstate.STANDBY},
    CoreState.CALIB: _EVERYWHERE | {CoreSubstate.NOT_READY},
    CoreState.TEST: frozenset(CoreSubstate) - {CoreSubstate.NONE},
}
LEGAL_PAIRS: frozenset[Pair] = frozenset(
    (state, substate) for state, substates in SUBSTATES_OF.items() for substate in substates
)


@dataclass(frozen=True, slots=True)
class Transition:
    """One allowed change; `name` is the message that announces it on the bus, None for a silent one."""

    before: Pair
    after: Pair
    name: str | None
    meaning: str


_OFF = (CoreState.OFF, CoreSubstate.NONE)
_NO_BEAM = (CoreState.NO_BEAM, CoreSubstate.NOT_READY)
_NOT_READY = (CoreState.BEAM, CoreSubstate.NOT_READY)
_READY = (CoreState.BEAM, CoreSubstate.READY)
_PHYSICS = (CoreState.RUN, CoreSubstate.PHYSICS)
_STANDBY = (CoreState.RUN, CoreSubstate.STANDBY)
_CALIB = (CoreState.CALIB, CoreSubstate.NOT_READY)
_TEST = (CoreState.TEST, CoreSubstate.NOT_READY)

TRANSITIONS: tuple[Transition, ...] = (
    Transition(_OFF, _NO_BEAM, None, "the detector is switched on"),
    Transition(_NO_BEAM, _NOT_READY, "run_imminent", "beam is coming, a run number is assigned"),
    Transition(_NOT_READY, _READY, None, "the detector is ready, conditions not yet good for physics"),
    Transition(_READY, _PHYSICS, "start_run", "declared good for physics, data taking starts"),
    Transition(_PHYSICS, _STANDBY, "pause_run", "data taking pauses, the run stays open"),
    Transition(_STANDBY, _PHYSICS, "resume_run", "data taking goes on"),
    Transition(_PHYSICS, _NOT_READY, "end_run", "no longer good for physics, the run ends"),
    Transition(_STANDBY, _NOT_READY, "end_run", "the run ends out of a pause"),
    Transition(_READY, _NOT_READY, None, "the detector fell back before a run started"),
    Transition(_READY, _NO_BEAM, None, "beam is gone before a run started"),
    Transition(_NOT_READY, _NO_BEAM, None, "beam is gone"),
    Transition(_NO_BEAM, _OFF, None, "the detector is switched off"),
    Transition(_NO_BEAM, _CALIB, None, "dedicated calibration starts"),
    Transition(_CALIB, _NO_BEAM, None, "dedicated calibration ends"),
    Transition(_NO_BEAM, _TEST, None, "testing starts"),
    Transition(_TEST, _NO_BEAM, None, "testing ends"),
)
_BY_PAIRS: dict[tuple[Pair, Pair], Transition] = {(row.before, row.after): row for row in TRANSITIONS}


def is_legal(state: str, substate: str) -> bool:
    """Whether this substate exists in this state."""
    return (state, substate) in LEGAL_PAIRS


def transition(before: Pair, after: Pair) -> Transition | None:
    """The row of the table that leads from one pair to the other, None when there is none."""
    return _BY_PAIRS.get((before, after))


def way(before: Pair, after: Pair) -> tuple[Transition, ...]:
    """The shortest way from one pair to the other on which only the last change has a name; empty when there is none.

    A DAQ says only the changes that have one: the others have happened in between.
    """
    ways: list[tuple[Transition, ...]] = [(row,) for row in transitions_from(before)]
    seen = {before}
    while ways:
        here = ways.pop(0)
        reached = here[-1].after
        if reached == after:
            return here
        if here[-1].name is None and reached not in seen:
            seen.add(reached)
            ways.extend((*here, row) for row in transitions_from(reached))
    return ()


def transitions_from(before: Pair) -> tuple[Transition, ...]:
    """Every change that is possible now, in the order of the table."""
    return tuple(row for row in TRANSITIONS if row.before == before)


def why_refused(before: Pair, after: Pair) -> str:
    """What is wrong with this change and what is possible instead, in one line; "" if it is allowed."""
    if transition(before, after):
        return ""
    for state, substate in (before, after):
        if not is_legal(state, substate):
            return f"{pair_name((state, substate))} is not a legal pair: {_allowed_with(state)}"
    if before == after:
        return f"the state is {pair_name(before)} already"
    possible = ", ".join(
        f"{pair_name(row.after)} ({row.name})" if row.name else pair_name(row.after)
        for row in transitions_from(before)
    )
    return f"{pair_name(before)} does not lead to {pair_name(after)}; it leads to {possible or 'nothing'}"


def pair_name(pair: Pair) -> str:
    """`run/physics`, or `off` where there is no substate."""
    state, substate = pair
    return f"{state}/{substate}" if substate else state


def _allowed_with(state: str) -> str:
    if state not in SUBSTATES_OF:
        return f"the states are {_listed(CoreState)}"
    substates = SUBSTATES_OF[CoreState(state)]
    return f"{state} allows {_listed(row for row in CoreSubstate if row in substates)}"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(name or "no substate" for name in names)
