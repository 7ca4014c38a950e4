"""The data agent: everything that concerns Rucio."""

from __future__ import annotations

from ..bus import schemas
from ..bus.agent import AgentSpec, LoopSpec
from .allocator import Allocator
from .closer import Closer
from .follower import Follower
from .handlers import (
    core_state_changed,
    run_has_ended,
    run_is_imminent,
    stf_was_generated,
    stfs_were_generated,
)
from .outputs import OutputVerifier
from .registrar import Registrar
from .rucio import Rucio

_rucio = Rucio()
_follower = Follower(_rucio)

AGENT = AgentSpec(
    name="data",
    agent_type="DATA",
    meaning=(
        "Registers every STF in Rucio, follows its copies to both Echelon 1 sites, gives it to the site that is to "
        "process it, proves the run complete."
    ),
    handlers={
        schemas.RunImminent: run_is_imminent,
        schemas.StartRun: core_state_changed,
        schemas.PauseRun: core_state_changed,
        schemas.ResumeRun: core_state_changed,
        schemas.StfGen: stf_was_generated,
        schemas.EndRun: run_has_ended,
    },
    bulk_handlers={schemas.StfGen: stfs_were_generated},
    wakes={
        schemas.RunImminent: "registrar",
        schemas.StfGen: "registrar",
        schemas.EndRun: "closer",
    },
    loops=(
        LoopSpec("registrar", Registrar(_rucio).step, interval=1.0, gather=0.03),
        LoopSpec("follower", _follower.follow, interval=1.0),
        LoopSpec("closer", Closer(_rucio).step, interval=1.0),
        LoopSpec("withdrawals", _follower.withdraw, interval=2.0),
        # Loops of their own: archiving waits for none of this.
        LoopSpec("allocator", Allocator(_rucio).step, interval=1.0),
        LoopSpec("outputs", OutputVerifier(_rucio).step, interval=1.0),
    ),
)
