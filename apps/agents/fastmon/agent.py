"""The fastmon agent: looks at a sample of each STF within seconds."""

from __future__ import annotations

from ..bus import schemas
from ..bus.agent import AgentSpec, LoopSpec
from .handlers import stf_is_ready, stfs_are_ready
from .sampler import Sampler
from .tf_files import Sweeper

AGENT = AgentSpec(
    name="fastmon",
    agent_type="FASTMON",
    meaning="Reads a sample of every STF out of the exit buffer, checks it, fills histograms, writes TF files.",
    handlers={schemas.StfReady: stf_is_ready},
    bulk_handlers={schemas.StfReady: stfs_are_ready},
    wakes={schemas.StfReady: "sampler"},
    loops=(
        LoopSpec("sampler", Sampler().step, interval=1.0),
        LoopSpec("sweeper", Sweeper().step, interval=5.0),
    ),
)
