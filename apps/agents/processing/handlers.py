"""What messages mean to the processing agent: they wake its loops, which find their work in the database."""

from __future__ import annotations

from ..bus import schemas


def stf_is_ready(message: schemas.StfReady) -> None:
    """An STF waits for being processed: its place was written down by whoever said so."""


def run_has_ended(message: schemas.EndRun) -> None:
    """No further STF comes: the tasks of the run will end."""
