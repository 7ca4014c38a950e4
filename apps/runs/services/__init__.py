"""All writes of runs: requesting, the core state, the lifecycle. Nothing else changes these tables."""

from .close import close, force_close
from .control import Control, control_run
from .core_state import advance, end_run, record_refusal
from .follow import follow_daq, take_over_run
from .request import ensure_namespace, request_run

__all__ = [
    "Control",
    "advance",
    "close",
    "control_run",
    "end_run",
    "ensure_namespace",
    "follow_daq",
    "force_close",
    "record_refusal",
    "request_run",
    "take_over_run",
]
