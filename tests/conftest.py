"""Fixtures of all tests. The database is a real PostgreSQL, started when the first test asks for it (`tests.engines`)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import hypothesis
import pytest
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from pytest_django import DjangoDbBlocker

from services.base import Engine
from tests import emptying
from tests.web import Web

# How long an example takes depends on the machine; times are for benchmarks.
hypothesis.settings.register_profile("testbed", deadline=None)
hypothesis.settings.load_profile("testbed")

# A quarter of a second for each password otherwise. The web processes of tests can check these as well.
PBKDF2PasswordHasher.iterations = 1


def pytest_addoption(parser: pytest.Parser) -> None:
    """How long to look for requests that REST answers badly."""
    parser.addoption(
        "--fuzz-examples", type=int, default=3, help="made-up requests for each operation and role (3)"
    )


@pytest.fixture(scope="session")
def django_db_modify_db_settings(postgres: Engine) -> None:
    """The test database is made on the tests' own PostgreSQL, which must run by then."""


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Tests that commit leave empty tables in the cheapest way; whichever is the last, the database can be dropped."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("django.test.TransactionTestCase._fixture_teardown", lambda _: emptying.empty())
        yield
    with django_db_blocker.unblock():
        emptying.end_sessions()


@pytest.fixture
def web(transactional_db: None, tmp_path: Path) -> Iterator[Web]:
    """A web process on the test database; it can be killed and started again."""
    process = Web(tmp_path / "web.log")
    process.start()
    yield process
    process.kill()


@pytest.fixture
def long_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that was heard of counts as silent after a minute, not after 5 s: requests and pages may take so long."""
    monkeypatch.setattr("apps.stf.selectors.workers.SILENT_AFTER", timedelta(minutes=1))


@pytest.fixture
def exit_buffer(settings: object, tmp_path: Path) -> Path:
    """An empty exit buffer, only this test's."""
    directory = tmp_path / "E0_BUFFER"
    directory.mkdir()
    settings.SWF_E0_BUFFER = directory  # type: ignore[attr-defined]
    return directory
