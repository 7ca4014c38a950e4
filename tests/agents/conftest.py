"""The loops of the data agent over a Rucio in memory."""

from __future__ import annotations

import pytest

from apps.agents.data.closer import Closer
from apps.agents.data.follower import Follower
from apps.agents.data.registrar import Registrar
from tests.fakes.rucio import FakeRucio


@pytest.fixture
def rucio() -> FakeRucio:
    return FakeRucio()


@pytest.fixture
def registrar(rucio: FakeRucio) -> Registrar:
    return Registrar(rucio)  # type: ignore[arg-type]


@pytest.fixture
def follower(rucio: FakeRucio) -> Follower:
    return Follower(rucio)  # type: ignore[arg-type]


@pytest.fixture
def closer(rucio: FakeRucio) -> Closer:
    return Closer(rucio)  # type: ignore[arg-type]
