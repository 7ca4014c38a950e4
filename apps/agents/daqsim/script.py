"""The script of a run: the phases of the DAQ, what each begins with and how long it lasts, as data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from apps.runs.core_states import CoreState, CoreSubstate, Pair

from ..choices import DaqPhase

Parameters = dict[str, Any]


@dataclass(frozen=True)
class Wait:
    """A phase that only lasts: it begins with a core state and is followed, after `seconds`, by the next phase."""

    state: Pair
    seconds: Callable[[Parameters], float]
    then: DaqPhase


WAITS: dict[DaqPhase, Wait] = {
    DaqPhase.NO_BEAM: Wait(
        (CoreState.NO_BEAM, CoreSubstate.NOT_READY),
        lambda daq: daq["no_beam_not_ready_delay"],
        DaqPhase.IMMINENT,
    ),
    DaqPhase.IMMINENT: Wait(
        (CoreState.BEAM, CoreSubstate.NOT_READY),
        lambda daq: daq["broadcast_delay"] + daq["beam_not_ready_delay"],
        DaqPhase.READY,
    ),
    DaqPhase.READY: Wait(
        (CoreState.BEAM, CoreSubstate.READY), lambda daq: daq["beam_ready_delay"], DaqPhase.PHYSICS
    ),
    DaqPhase.STANDBY: Wait(
        (CoreState.RUN, CoreSubstate.STANDBY), lambda daq: daq["standby_duration"], DaqPhase.PHYSICS
    ),
}

PHYSICS: Pair = (CoreState.RUN, CoreSubstate.PHYSICS)
STANDBY: Pair = (CoreState.RUN, CoreSubstate.STANDBY)
AFTER_THE_RUN: Pair = (CoreState.NO_BEAM, CoreSubstate.NOT_READY)


def stf_interval(daq: Parameters) -> float:
    """Seconds from one STF to the next."""
    return float(daq["stf_interval"] + daq["stf_generation_time"])


def stfs_per_period(daq: Parameters) -> int:
    """STFs in one physics period: the count if one is given, else what fits into its duration."""
    if daq["stf_count"] is not None:
        return int(daq["stf_count"])
    return max(1, int(daq["physics_period_duration"] / stf_interval(daq)))
