"""Workers that are heard of stay up until a test silences them, however slow the machine is."""

from __future__ import annotations

from datetime import timedelta

import pytest

from apps.stf.selectors import workers


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker counts as silent after a minute, not after 5 s."""
    monkeypatch.setattr(workers, "SILENT_AFTER", timedelta(minutes=1))
