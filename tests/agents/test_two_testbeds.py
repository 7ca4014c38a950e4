"""Two testbeds on one ActiveMQ, whose databases both know the namespaces of both: neither takes what is the other's."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from services.base import REPOSITORY, Engine
from tests.agents.foreign_daq import ForeignDaq
from tests.agents.worker.process import wait_until
from tests.engines import names_an_engine
from tests.system.plain_client import PlainClient

from .stomp.conftest import url_of

pytestmark = [pytest.mark.services, pytest.mark.timeout(900)]

TOPIC, COMMANDS = "/topic/epictopic", "/queue/workflow_control"
PROGRAMS = (("relay",), ("agent", "daqsim"), ("agent", "data"))
RUNS, OF_ANOTHER_DAQ = 4, 102827


class Testbed:
    """The relay and two agents of a testbed, on a database of its own."""

    __test__ = False

    def __init__(self, home: Path, namespace: str, database: str, broker: str) -> None:
        self.namespace = namespace
        self._database = database
        self._log = home / "log"
        self._environment = {
            **{name: value for name, value in os.environ.items() if not names_an_engine(name)},
            "SWF_HOME": str(home),
            "SWF_NAMESPACE": namespace,
            "DATABASE_URL": database,
            "BROKER_URL": broker,
            # Nobody answers there: copies wait.
            "RUCIO_HOST": "http://127.0.0.1:1",
            "RUCIO_AUTH_HOST": "http://127.0.0.1:1",
        }
        self._processes: list[subprocess.Popen[bytes]] = []

    def manage(self, *arguments: str) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            command = [sys.executable, "manage.py", *arguments]
            return subprocess.Popen(command, cwd=REPOSITORY, env=self._environment, stdout=log, stderr=log)

    def start(self) -> None:
        """Start all. They find the broker as `prepare_broker` leaves it."""
        assert self.manage("prepare_broker").wait(180) == 0, self._log.read_text()
        self._processes = [self.manage(*program) for program in PROGRAMS]

    def is_up(self) -> bool:
        """Whether its agents have said so."""
        return {"daqsim", "data"} <= self.counters().keys()

    def stop(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()

    def rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self._database) as connection:
            return connection.execute(query, parameters).fetchall()

    def counters(self) -> dict[str, dict[str, int]]:
        """What each agent has counted, up to its last heartbeat."""
        return dict(self.rows("SELECT instance_name, counters FROM agents_systemagent"))

    def foreign(self, agent: str) -> int:
        return self.counters()[agent]["messages_of_other_namespaces"]

    def runs(self) -> list[tuple[Any, ...]]:
        """Namespace and workflow of every run."""
        return self.rows(
            "SELECT n.name, d.workflow_name FROM runs_run r JOIN runs_namespace n ON n.id = r.namespace_id "
            "JOIN runs_workflowexecution e ON e.id = r.execution_id "
            "JOIN runs_workflowdefinition d ON d.id = e.workflow_definition_id"
        )


@pytest.fixture
def testbeds(postgres: Engine, activemq: Engine, tmp_path: Path) -> Iterator[tuple[Testbed, Testbed]]:
    """Two that run; each database knows both namespaces."""
    server = postgres.environment()["DATABASE_URL"].rpartition("/")[0]
    names = [f"n{uuid4().hex[:8]}" for _ in range(2)]
    made = []
    with psycopg.connect(postgres.environment()["DATABASE_URL"], autocommit=True) as admin:
        for name in names:
            home = tmp_path / name
            home.mkdir()
            # The second is a copy of the first.
            source = names[0] if made else "template1"
            admin.execute(SQL("CREATE DATABASE {} TEMPLATE {}").format(Identifier(name), Identifier(source)))
            made.append(Testbed(home, name, f"{server}/{name}", url_of(activemq)))
            if len(made) == 1:
                assert made[0].manage("migrate", "--no-input", "--verbosity=0").wait(240) == 0
                for known in names:
                    with psycopg.connect(f"{server}/{name}") as connection:
                        connection.execute(
                            "INSERT INTO runs_namespace (name, owner, description, created_at) "
                            "VALUES (%s, '', '', now())",
                            [known],
                        )
        try:
            for one in made:
                one.start()
            wait_until(
                lambda: all(one.is_up() for one in made), what="the agents' first heartbeats", seconds=180
            )
            yield made[0], made[1]
        finally:
            for one in made:
                one.stop()
            for name in names:
                admin.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))


@pytest.fixture
def client(activemq: Engine) -> Iterator[PlainClient]:
    one = PlainClient(activemq.environment())
    yield one
    one.close()


def test_each_takes_the_commands_and_runs_of_its_own_namespace(
    testbeds: tuple[Testbed, Testbed], client: PlainClient
) -> None:
    ours, theirs = testbeds
    for _ in range(RUNS):
        client.send(
            COMMANDS,
            {
                "msg_type": "run_workflow",
                "workflow_name": "fast",
                "namespace": ours.namespace,
                "params": {"stf_count": 1, "stf.size_bytes": 2000, "stf.tf_count": 2},
            },
        )
    for message in ForeignDaq(str(OF_ANOTHER_DAQ), namespace=ours.namespace).whole_run(1):
        client.send(TOPIC, message)

    def ended() -> int:
        return int(ours.rows("SELECT count(*) FROM runs_journalentry WHERE kind = 'end_run'")[0][0])

    wait_until(lambda: ended() == RUNS + 1, what="all runs have ended", seconds=120)
    wait_until(lambda: theirs.foreign("data") >= 4 * RUNS, what="the other testbed has heard of all of it")

    taken = [(ours.namespace, "fast")] * RUNS + [(ours.namespace, "external_daq")]
    assert sorted(ours.runs(), reverse=True) == taken
    assert theirs.runs() == []
    assert ours.foreign("data") == 0
