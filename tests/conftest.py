"""Fixtures of all tests. The database is a real PostgreSQL, started when the first test asks for it (`tests.engines`)."""

from __future__ import annotations

from pathlib import Path

import hypothesis
import pytest

from services.base import Engine

# How long an example takes depends on the machine; times are for benchmarks.
hypothesis.settings.register_profile("testbed", deadline=None)
hypothesis.settings.load_profile("testbed")


def pytest_addoption(parser: pytest.Parser) -> None:
    """How long to look for requests that REST answers badly."""
    parser.addoption(
        "--fuzz-examples", type=int, default=3, help="made-up requests for each operation and role (3)"
    )


@pytest.fixture(scope="session")
def django_db_modify_db_settings(postgres: Engine) -> None:
    """The test database is made on the tests' own PostgreSQL, which must run by then."""


@pytest.fixture
def exit_buffer(settings: object, tmp_path: Path) -> Path:
    """An empty exit buffer, only this test's."""
    directory = tmp_path / "E0_BUFFER"
    directory.mkdir()
    settings.SWF_E0_BUFFER = directory  # type: ignore[attr-defined]
    return directory
