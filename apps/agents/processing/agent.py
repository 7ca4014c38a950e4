"""The processing agent: everything that concerns PanDA."""

from __future__ import annotations

from ..bus import schemas
from ..bus.agent import AgentSpec, LoopSpec
from .commands import Commands
from .follower import Follower
from .handlers import run_has_ended, stf_is_ready
from .killer import Killer
from .panda import Panda
from .prun import build_parameters
from .submitter import Submitter
from .workers import WorkerJobs

_panda = Panda()

AGENT = AgentSpec(
    name="processing",
    agent_type="PROCESSING",
    meaning="Has every STF processed by PanDA at the sites that its run's policy names, and follows tasks and jobs. Has "
    "PanDA start workers of slices.",
    handlers={schemas.StfReady: stf_is_ready, schemas.EndRun: run_has_ended},
    wakes={schemas.StfReady: "submitter", schemas.EndRun: "follower"},
    loops=(
        LoopSpec("submitter", Submitter(_panda, build_parameters).step, interval=1.0, gather=1.0),
        LoopSpec("follower", Follower(_panda).step, interval=1.0),
        LoopSpec("commands", Commands(_panda).step, interval=1.0),
        LoopSpec("killer", Killer(_panda).step, interval=1.0),
        LoopSpec("workers", WorkerJobs(_panda, build_parameters).step, interval=2.0),
    ),
)
