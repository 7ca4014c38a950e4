"""All writes of runs: requesting, the core state, the lifecycle. Nothing else changes these tables."""

from .close import close, force_close
from .control import Control, control_run
from .core_state import advance, end_run, record_refusal
from .follow import follow_daq, take_over_run
from .numbers import give_agent_id, give_execution_sequence, give_run_number
from .request import ensure_namespace, open_namespace, request_run
from .saying import said_over_rest

__all__ = [
    "Control",
    "advance",
    "close",
    "control_run",
    "end_run",
    "ensure_namespace",
    "follow_daq",
    "force_close",
    "give_agent_id",
    "give_execution_sequence",
    "give_run_number",
    "open_namespace",
    "record_refusal",
    "request_run",
    "said_over_rest",
    "take_over_run",
]
