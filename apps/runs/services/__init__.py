"""All writes of runs: requesting, the core state, the lifecycle. Nothing else changes these tables."""

from .close import close, force_close
from .core_state import advance, end_run
from .request import ensure_namespace, request_run

__all__ = ["advance", "close", "end_run", "ensure_namespace", "force_close", "request_run"]
