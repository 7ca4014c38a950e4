"""The server's steps in any order, with pilots, kills and lost heartbeats between them: nothing lost, nothing doubled."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from services.base import Engine
from services.panda.server import feed, finish, generate, refine
from services.panda.server.adder import Adder
from services.panda.server.auth import Caller
from services.panda.server.catalogue import CatalogueAway
from services.panda.server.changes import end_jobs, kill_jobs, move_task
from services.panda.server.database import Database, Row
from services.panda.server.pilots import acquire, update
from services.panda.server.states import JOB_WITH_PILOT, TASK_FINAL, TASK_MOVES
from services.panda.server.submit import register, submit
from services.postgres.engine import Postgres
from tests.panda.memory import MemoryCatalogue
from tests.panda.world import Run

pytestmark = pytest.mark.services

SITE, SCOPE = "E1_BNL", "group.daq"
USER = Caller(name="Somebody", known=True)
STEPS = ["register", "refine", "feed", "ready", "generate", "assign", "activate", "add", "obey", "carry out"]
STEPS += ["break", "settle", "conclude"]
OPEN = ("defined", "assigned", "activated", "holding", *JOB_WITH_PILOT)
ARGUMENTS = ("job_output_report", "start_time", "end_time", "attempt_nr", "job_id", "job_status")


@pytest.fixture(scope="module")
def database(postgres: Engine) -> Iterator[Database]:
    """A database of these tests' own."""
    assert isinstance(postgres, Postgres)
    name = f"panda_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(postgres.url("panda"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    made = Database(postgres.url("panda").rpartition("/")[0] + f"/{name}")
    made.open()
    made.prepare()
    yield made
    made.close()


class NoRucio:
    """`Run` makes parameters without a catalogue."""

    def add_dataset(self, *_: Any) -> None:
        """Nothing."""


class World:
    """One task on one dataset, and what a test does with it."""

    def __init__(self, database: Database, **changes: Any) -> None:
        self.database, self.catalogue = database, MemoryCatalogue()
        self.run = Run(NoRucio(), SITE)
        self.dataset = SCOPE, self.run.dataset
        self.catalogue.datasets[self.dataset] = set()
        with database.transaction() as transaction:
            code, message = submit(transaction, self.run.parameters(maxAttempt=50, **changes), USER, None)
        assert code == 0
        self.task_id = int(message.rpartition("=")[2])
        self.restart()

    def restart(self) -> None:
        """What a killed process remembers is gone."""
        self.feeder = feed.Feeder(self.database, self.catalogue)
        self.stager = generate.Stager(self.database, self.catalogue)
        self.adder = Adder(self.database, self.catalogue)
        database, catalogue = self.database, self.catalogue
        self.steps = {
            "register": lambda: refine.register_tasks(database),
            "refine": lambda: refine.refine_tasks(database, catalogue),
            "feed": self.feeder.feed,
            "ready": lambda: feed.ready_tasks(database),
            "generate": lambda: generate.generate_jobs(database),
            "assign": self.stager.assign,
            "activate": self.stager.activate,
            "add": self.adder.add,
            "obey": lambda: finish.obey(database),
            "carry out": lambda: finish.carry_out(database),
            "break": lambda: refine.break_tasks(database),
            "settle": lambda: finish.settle(database),
            "conclude": lambda: finish.conclude(database, catalogue),
        }

    def step(self, name: str) -> int:
        """One step, as its loop would do it."""
        with suppress(CatalogueAway):
            return int(self.steps[name]())
        return 0

    def settle(self) -> None:
        """All steps until none moves anything."""
        for _ in range(200):
            if not sum(self.step(name) for name in self.steps):
                return
        raise AssertionError("the steps do not come to rest")

    def file(self, number: int) -> tuple[str, str]:
        """A file of the run."""
        return SCOPE, f"stf.{self.run.name}.{number}"

    def jobs(self, *states: str) -> list[Row]:
        """The task's jobs in these states, or all."""
        with self.database.transaction() as transaction:
            return transaction.rows(
                "SELECT * FROM jobs WHERE jeditaskid = %s AND (%s OR status = ANY(%s)) ORDER BY pandaid",
                [self.task_id, not states, list(states)],
            )

    def rows(self, query: str) -> list[Row]:
        """Rows of a query about the task."""
        with self.database.transaction() as transaction:
            return transaction.rows(query, [self.task_id])

    @property
    def status(self) -> str:
        """The task's state."""
        return str(self.rows("SELECT status FROM tasks WHERE jeditaskid = %s")[0]["status"])

    def take(self) -> None:
        """A pilot asks for a job of this task."""
        with self.database.transaction() as transaction:
            acquire(transaction, queue=SITE, label=None, owner=None, task_id=self.task_id, count=1, node=None)

    def say(self, job: Row, status: str, *, good: bool = True) -> str:
        """A pilot reports; a finished job's outputs are in the catalogue, if they are good."""
        report = {}
        if status == "finished":
            with self.database.transaction() as transaction:
                outputs = transaction.rows(
                    "SELECT scope, lfn FROM jobfiles WHERE pandaid = %s AND type = 'output'", [job["pandaid"]]
                )
            for one in outputs:
                self.catalogue.add((one["scope"], one["lfn"]), SITE)
                report[one["lfn"]] = {"fsize": 2 if good else 3, "adler32": "01"}
        said = {
            **dict.fromkeys(ARGUMENTS),
            "job_id": job["pandaid"],
            "attempt_nr": job["attemptnr"],
            "job_status": status,
            "job_output_report": json.dumps(report),
        }
        with self.database.transaction() as transaction:
            return update(transaction, said)

    def command(self, name: str) -> None:
        """A command for the task, refused or not."""
        with self.database.transaction() as transaction:
            register(transaction, self.task_id, name, USER)

    def outputs(self) -> set[tuple[str, str]]:
        """What is in the output dataset."""
        return self.catalogue.datasets.get(("user.swf", self.run.output), set())

    def processed(self) -> Counter[str]:
        """Input file to how many attached outputs were made of it."""
        made = self.rows(
            "SELECT output.lfn AS output, output.scope, input.lfn FROM jobfiles output"
            " JOIN jobfiles input USING (pandaid)"
            " WHERE output.jeditaskid = %s AND output.type = 'output' AND input.type = 'input'"
        )
        attached = self.outputs()
        return Counter(row["lfn"] for row in made if (row["scope"], row["output"]) in attached)


class Machine(RuleBasedStateMachine):
    """Everything that may happen, in any order."""

    database: Database

    def __init__(self) -> None:
        super().__init__()
        self.world = World(self.database)
        self.numbers: set[int] = set()

    @rule(number=st.integers(1, 4), there=st.booleans())
    def attach(self, number: int, there: bool) -> None:
        did = self.world.file(number)
        self.world.catalogue.add(did, SITE if there else "E1_JLAB")
        self.world.catalogue.datasets[self.world.dataset].add(did)

    @rule(number=st.integers(1, 4))
    def detach(self, number: int) -> None:
        self.world.catalogue.datasets[self.world.dataset].discard(self.world.file(number))

    @rule(number=st.integers(1, 4))
    def copy(self, number: int) -> None:
        if self.world.file(number) in self.world.catalogue.files:
            self.world.catalogue.replicas.add((self.world.file(number), SITE))

    @rule(names=st.lists(st.sampled_from(STEPS), min_size=1, max_size=6))
    def some_steps(self, names: list[str]) -> None:
        for name in names:
            self.world.step(name)

    @rule()
    def all_steps(self) -> None:
        self.world.settle()

    @rule()
    def take(self) -> None:
        self.world.take()

    @precondition(lambda self: self.world.jobs())
    @rule(
        data=st.data(),
        status=st.sampled_from(["starting", "running", "failed", "finished"]),
        good=st.booleans(),
    )
    def say(self, data: st.DataObject, status: str, good: bool) -> None:
        """Any pilot that ever had a job may speak, late or twice."""
        self.world.say(data.draw(st.sampled_from(self.world.jobs())), status, good=good)

    @precondition(lambda self: self.world.jobs())
    @rule(data=st.data())
    def kill_job(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(self.world.jobs()))
        with self.database.transaction() as transaction:
            kill_jobs(transaction, [job["pandaid"]], "Somebody")

    @rule()
    def lose_heartbeats(self) -> None:
        silent = [job["pandaid"] for job in self.world.jobs(*JOB_WITH_PILOT)]
        with self.database.transaction() as transaction:
            end_jobs(transaction, silent, "failed", {})

    @rule(command=st.sampled_from(["kill", "finish", "retry", "incexec"]))
    def command(self, command: str) -> None:
        self.world.command(command)

    @rule(away=st.booleans())
    def rucio(self, away: bool) -> None:
        self.world.catalogue.away = away

    @rule()
    def die(self) -> None:
        self.world.restart()

    @rule(closed=st.booleans())
    def close_or_open(self, closed: bool) -> None:
        (self.world.catalogue.closed.add if closed else self.world.catalogue.closed.discard)(
            self.world.dataset
        )

    @invariant()
    def nothing_is_doubled(self) -> None:
        assert all(count == 1 for count in self.world.processed().values())
        held = self.world.rows(
            "SELECT jobfiles.fileid FROM jobs JOIN jobfiles USING (pandaid) WHERE jobs.jeditaskid = %s"
            " AND fileid IS NOT NULL AND jobs.status NOT IN ('finished', 'failed', 'cancelled', 'closed')"
        )
        assert len({row["fileid"] for row in held}) == len(held), "two open jobs of one file"

    @invariant()
    def numbers_are_never_used_again(self) -> None:
        jobs = [job["pandaid"] for job in self.world.jobs()]
        assert set(jobs) >= self.numbers
        assert all(number > max(self.numbers, default=0) for number in set(jobs) - self.numbers)
        self.numbers = set(jobs)

    @invariant()
    def what_counts_as_finished_has_its_output(self) -> None:
        finished = self.world.rows("SELECT lfn FROM files WHERE jeditaskid = %s AND status = 'finished'")
        processed = self.world.processed()
        assert all(processed[row["lfn"]] == 1 for row in finished)

    def teardown(self) -> None:
        """Whatever has happened, a task that is told to go on comes to its end with everything processed."""
        world = self.world
        world.catalogue.away = False
        world.settle()
        for _ in range(40):
            world.catalogue.closed.discard(world.dataset)
            for command in ("incexec", "retry"):
                world.command(command)
            for did in world.catalogue.datasets[world.dataset]:
                world.catalogue.replicas.add((did, SITE))
            world.settle()
            world.take()
            for job in world.jobs(*JOB_WITH_PILOT):
                world.say(job, "failed" if job["command"] else "finished")
            self._kill_what_waits_for_a_copy()
            world.settle()
            wanted = {name for _, name in world.catalogue.datasets[world.dataset]}
            if wanted <= set(world.processed()) and not world.jobs(*OPEN):
                break
        assert wanted <= set(world.processed()), world.rows("SELECT * FROM files WHERE jeditaskid = %s")
        world.catalogue.closed.add(world.dataset)
        world.restart()
        world.settle()
        assert world.status in TASK_FINAL, (world.status, world.jobs())

    def _kill_what_waits_for_a_copy(self) -> None:
        """Jobs of files that are in the dataset no more, as whoever detached them would."""
        waiting = [job["pandaid"] for job in self.world.jobs("assigned")]
        with self.database.transaction() as transaction:
            kill_jobs(transaction, waiting, "Somebody")


def test_in_any_order_nothing_is_lost_and_nothing_doubled(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "RELIST_SECONDS", 0.0)  # what happens must not depend on the time
    Machine.database = database
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=10,
            stateful_step_count=20,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_a_task_walks_through_its_states(database: Database) -> None:
    world = World(database)
    assert world.status == "waiting"
    for step, status in [("register", "registered"), ("refine", "defined"), ("feed", "defined")]:
        world.step(step)
        assert world.status == status
    did = world.file(1)
    world.catalogue.add(did, SITE)
    world.catalogue.datasets[world.dataset].add(did)
    for step, status in [("feed", "defined"), ("ready", "ready"), ("generate", "running")]:
        world.step(step)
        assert world.status == status
    states = []
    for step in ("assign", "activate"):
        states.append(world.jobs()[0]["status"])
        world.step(step)
    states.append(world.jobs()[0]["status"])
    world.take()
    for said in ("starting", "running", "finished"):
        states.append(world.jobs()[0]["status"])
        world.say(world.jobs()[0], said)
    states.append(world.jobs()[0]["status"])
    world.step("add")
    states.append(world.jobs()[0]["status"])
    assert " ".join(states) == "defined assigned activated sent starting running holding finished"
    world.step("settle")
    assert world.status == "defined"
    world.catalogue.closed.add(world.dataset)
    for step, status in [("feed", "defined"), ("settle", "prepared"), ("conclude", "done")]:
        world.step(step)
        assert world.status == status


def test_a_state_that_the_table_does_not_have_is_not_reached(database: Database) -> None:
    world = World(database)
    with (
        database.transaction() as transaction,
        pytest.raises(ValueError, match="no move from done to running"),
    ):
        move_task(transaction, world.task_id, ["done"], "running")
    assert set(TASK_MOVES).isdisjoint({"broken"})
