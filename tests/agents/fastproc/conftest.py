"""Workers that are heard of stay up until a test silences them."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _patient(long_heard: None) -> None:
    """However slow the machine is."""
