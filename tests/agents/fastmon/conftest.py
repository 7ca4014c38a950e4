"""The sampler of the fastmon agent over an exit buffer of the test's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from apps.agents.fastmon import sampler as module
from apps.agents.fastmon.sampler import Sampler


@pytest.fixture(autouse=True)
def tf_directory(settings: object, tmp_path: Path) -> Path:
    """Where TF files go; only this test's."""
    directory = tmp_path / "FASTMON"
    settings.SWF_FASTMON_DIR = directory  # type: ignore[attr-defined]
    return directory


@pytest.fixture(autouse=True)
def long_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """One step for all that waits, however slow the machine is."""
    monkeypatch.setattr(module, "STEP_SECONDS", 3600.0)


@pytest.fixture
def sampler() -> Sampler:
    return Sampler()
