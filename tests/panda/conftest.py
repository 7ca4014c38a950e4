"""Fixtures of the tests of the embedded PanDA-compatible server."""

from __future__ import annotations

from typing import Any

import pytest

from services.base import Engine
from tests.panda.world import Api, Run, client_of_rucio, user


@pytest.fixture
def catalogue(rucio: Engine) -> Any:
    """Rucio's client."""
    return client_of_rucio(rucio)


@pytest.fixture
def api(panda: Engine) -> Api:
    """The interface as the user."""
    return user(panda)


@pytest.fixture
def run(catalogue: Any) -> Run:
    """A run with an open, empty dataset."""
    return Run(catalogue)
