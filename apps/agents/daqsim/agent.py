"""The daqsim agent: the simulated DAQ of Echelon 0 and owner of its exit buffer."""

from __future__ import annotations

from ..bus import schemas
from ..bus.agent import AgentSpec, LoopSpec
from . import handlers
from .exit_buffer import release
from .fleet import Fleet

AGENT = AgentSpec(
    name="daqsim",
    agent_type="DAQ_Simulator",
    meaning="Drives runs through the core states, writes STF files into the exit buffer, deletes what is safe.",
    handlers={
        schemas.RunWorkflow: handlers.run_workflow,
        schemas.StatusRequest: handlers.status_request,
        schemas.PauseWorkflow: handlers.pause_workflow,
        schemas.ResumeWorkflow: handlers.resume_workflow,
        schemas.StopWorkflow: handlers.stop_workflow,
        schemas.AbortWorkflow: handlers.abort_workflow,
    },
    takes_commands=True,
    wakes={schemas.RunWorkflow: "runs"},
    loops=(
        LoopSpec("runs", Fleet().step, interval=1.0),
        LoopSpec("exit_buffer", release, interval=0.5),
    ),
)
