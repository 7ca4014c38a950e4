"""The embedded PostgreSQL: databases, durability, and what it survives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from services.base import REPOSITORY, Engine
from services.postgres import cluster
from services.postgres.engine import ROLES, Postgres
from services.remembered import password

pytestmark = pytest.mark.services


@pytest.fixture
def own(tmp_path: Path) -> Postgres:
    """A second PostgreSQL, for tests that must not disturb the others."""
    return Postgres(tmp_path)


def test_all_databases_answer_their_owners(postgres: Engine) -> None:
    assert isinstance(postgres, Postgres)
    for role in ROLES:
        with psycopg.connect(postgres.url(role)) as connection:
            row = connection.execute(
                "SELECT current_user::text, current_database()::text, current_setting('server_encoding'),"
                " current_setting('fsync'), current_setting('listen_addresses')"
            ).fetchone()
        assert row == (role, role, "UTF8", "on", "127.0.0.1")


def test_nobody_enters_without_a_password(postgres: Engine) -> None:
    assert isinstance(postgres, Postgres)
    for user in ("swf", "postgres"):
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(host="127.0.0.1", port=postgres.port, user=user, dbname="swf", password="wrong")


def test_committed_rows_survive_sigkill(own: Postgres) -> None:
    own.start()
    try:
        with psycopg.connect(own.url()) as connection:
            connection.execute("CREATE TABLE kept (number int)")
            connection.execute("INSERT INTO kept VALUES (1)")
        lingering = psycopg.connect(own.url())
        assert own.pid
        os.kill(own.pid, signal.SIGKILL)
        own.stop()
        own.start()
        lingering.close()
        with psycopg.connect(own.url()) as connection:
            assert connection.execute("SELECT number FROM kept").fetchall() == [(1,)]
    finally:
        own.stop()


def test_a_cluster_half_made_is_made_anew(own: Postgres) -> None:
    draft = own.directory / "data.draft"
    draft.mkdir(parents=True)
    (draft / "PG_VERSION").write_text("18")
    own.start()
    own.stop()
    assert not draft.exists()


def test_an_older_cluster_is_given_what_it_lacks(own: Postgres) -> None:
    older = {role: password(own.home, f"postgres-{role}") for role in ROLES[:2]}
    cluster.create(own.directory / "data", older)
    (own.directory / cluster.ROLES_FILE).unlink()
    own.start()
    try:
        for role in ROLES:
            with psycopg.connect(own.url(role)) as connection:
                assert connection.execute("SELECT current_database()::text").fetchone() == (role,)
    finally:
        own.stop()
    assert (own.directory / cluster.ROLES_FILE).read_text().split() == list(ROLES)


def test_a_second_server_on_the_same_cluster_is_refused(postgres: Engine) -> None:
    rival = subprocess.run(
        [sys.executable, "-m", "services", "run", "postgres"],
        cwd=REPOSITORY,
        env={**os.environ, "SWF_HOME": str(postgres.home)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert rival.returncode == 1
    assert f"already runs on {postgres.directory / 'data'} as process {postgres.pid}" in rival.stderr
    assert postgres.ready() is None


def test_the_lock_of_a_dead_server_does_not_stop_the_next(own: Postgres) -> None:
    own.start()
    own.stop()
    # After a restart of a container the number in the lock belongs to another process of the same user.
    lock = own.directory / "data" / "postmaster.pid"
    lock.write_text(f"{os.getpid()}\n{lock.parent}\n0\n{own.port}\n\n127.0.0.1\n0 0\nready\n")
    own.start()
    own.stop()
