"""The agents of the testbed. An agent's module is imported only where it runs: they bring the clients of
Rucio and PanDA."""

from __future__ import annotations

from importlib import import_module

from .bus.agent import AgentSpec

AGENTS = ("daqsim", "data", "processing", "fastmon", "fastproc")


def agent_spec(name: str) -> AgentSpec:
    """The agent of this name.

    Raises:
        KeyError: there is none.
    """
    if name not in AGENTS:
        raise KeyError(f"there is no agent {name!r}; there are {', '.join(AGENTS)}")
    spec: AgentSpec = import_module(f"apps.agents.{name}.agent").AGENT
    return spec
