"""All writes of runs: requesting, the core state, the lifecycle. Nothing else changes these tables."""

from .close import close, force_close
from .control import Control, control_run
from .core_state import advance, end_run, record_refusal
from .follow import external_workflow, follow_daq, take_over_run
from .numbers import give_agent_id, give_execution_sequence, give_run_number
from .people import note_access, set_access, user_of_identity
from .request import ensure_namespace, open_namespace, request_run
from .saying import said_over_rest
from .visiting import announce_run, follow_words, is_visiting, note_state_event, set_run_conditions

__all__ = [
    "Control",
    "advance",
    "announce_run",
    "close",
    "control_run",
    "end_run",
    "ensure_namespace",
    "external_workflow",
    "follow_daq",
    "follow_words",
    "force_close",
    "give_agent_id",
    "give_execution_sequence",
    "give_run_number",
    "is_visiting",
    "note_access",
    "note_state_event",
    "open_namespace",
    "record_refusal",
    "request_run",
    "said_over_rest",
    "set_access",
    "set_run_conditions",
    "take_over_run",
    "user_of_identity",
]
