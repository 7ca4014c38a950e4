"""The fast path: from a closed STF to its histogram on the page, the cost of one big STF, slices under fire."""

from .command import main

__all__ = ["main"]
