"""The fastproc agent: cuts samples into slices and has workers process them."""

from __future__ import annotations

from ..bus import fast_schemas, schemas
from ..bus.agent import AgentSpec, LoopSpec
from . import handlers
from .cutter import cut
from .dispatcher import Dispatcher
from .fleet import Fleet
from .leases import Leases

AGENT = AgentSpec(
    name="fastproc",
    agent_type="FASTPROC",
    meaning="Cuts what fast monitoring has read into slices and has workers process them, as many as are needed.",
    handlers={
        schemas.RunImminent: handlers.run_is_imminent,
        fast_schemas.TfFileRegistered: handlers.tf_file_is_registered,
        fast_schemas.SliceResult: handlers.slice_is_processed,
        fast_schemas.WorkerHeartbeat: handlers.worker_is_there,
        schemas.EndRun: handlers.run_has_ended,
    },
    bulk_handlers={
        fast_schemas.SliceResult: handlers.slices_are_processed,
        fast_schemas.WorkerHeartbeat: handlers.workers_are_there,
    },
    wakes={
        fast_schemas.TfFileRegistered: "cutter",
        fast_schemas.SliceResult: "dispatcher",
        fast_schemas.WorkerHeartbeat: "dispatcher",
        schemas.RunImminent: "fleet",
        schemas.EndRun: "fleet",
    },
    loops=(
        LoopSpec("cutter", cut, interval=1.0, gather=0.05),
        LoopSpec("dispatcher", Dispatcher().step, interval=0.2, gather=0.01),
        LoopSpec("leases", Leases().step, interval=1.0),
        LoopSpec("fleet", Fleet().step, interval=1.0),
    ),
    takes_results=True,
    counters=handlers.counters,
    # One a second from every worker.
    passing=frozenset({fast_schemas.WorkerHeartbeat}),
    # Results and heartbeats come mixed, and of several runs.
    lock_first=handlers.lock_runs,
)
