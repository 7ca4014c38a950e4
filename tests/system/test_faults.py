"""A run during which every process is killed: it closes, nothing is lost, nothing is done twice."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

import pytest
from rucio.client import Client

from apps.stf.container.checksum import adler32_file
from services.base import REPOSITORY
from services.bus import BROKERS, Bus
from services.registry import engine

from .fast_path import assert_fast_path_adds_up
from .testbed import Testbed, wait_until
from .witness import Witness, site_copy

pytestmark = [
    pytest.mark.services,
    pytest.mark.timeout(1200),
    pytest.mark.parametrize("testbed", list(Bus), indirect=True),
]

STFS = 40
VICTIMS = (
    "daqsim",
    "data",
    "processing",
    "fastmon",
    "fastproc",
    "relay",
    "web",
    "rucio",
    "panda",
    "pilots",
    "postgres",
)
# The broker, where the bus has one of its own.
BROKER_PROGRAMS = {kind.name for kind in BROKERS.values()}
# Of the last run: the testbed may have been through others.
GENERATED = """
SELECT count(*) FROM runs_journalentry
WHERE kind = 'stf_gen' AND run_id = (SELECT id FROM runs_run ORDER BY id DESC LIMIT 1)
"""
# What must have been handed on after a restart, as a growing number. The others must answer or beat; the fast path is
# looked at in the end.
PROGRESS = {
    "daqsim": GENERATED,
    "data": "SELECT count(*) FROM runs_journalentry WHERE kind = 'stf_ready'",
    "relay": "SELECT position FROM runs_journalcursor WHERE follower = 'bus'",
    "rucio": "SELECT count(*) FROM stf_replica WHERE state = 'verified'",
    **dict.fromkeys(("processing", "panda"), "SELECT count(*) FROM stf_processingjob"),
    "pilots": "SELECT count(*) FROM stf_stfprocessing WHERE state = 'done'",
    "postgres": "SELECT count(*) FROM runs_journalentry WHERE kind = 'stf_ready'",
    **dict.fromkeys(BROKER_PROGRAMS, "SELECT position FROM runs_journalcursor WHERE follower = 'bus'"),
}
# Entries of the fast path, which may be several of one subject; `fast_path.py` looks at what came of them.
FAST_PATH = "^(slice|sample|tf_file|worker|dispatching|run_imminent_worker|stop_transformer)"
HANDED_ON_SECONDS = 120  # from when supervisor has started it
RESTART_SECONDS = 180


def _number(testbed: Testbed, query: str) -> int:
    found = testbed.try_rows(query)
    return int(found[0][0]) if found else -1


def _has_pages(testbed: Testbed) -> bool:
    try:
        return bool(testbed.page("/"))
    except OSError:
        return False


def _beats(testbed: Testbed, agent: str) -> bool:
    """Whether the last heartbeat is of the process that runs."""
    beat = "SELECT pid FROM agents_systemagent WHERE instance_name = %s AND operational_state = 'READY'"
    return testbed.try_rows(beat, agent) == [(testbed.pid(agent),)]


def _kill_and_see_it_go_on(testbed: Testbed, victim: str) -> None:
    killed = testbed.kill(victim)
    wait_until(
        lambda: testbed.restarted(victim, killed), seconds=RESTART_SECONDS, what=f"{victim} is started again"
    )
    if victim in {"rucio", "panda", *BROKER_PROGRAMS}:
        wait_until(
            lambda: engine(victim, testbed.home).ready() is None,
            seconds=RESTART_SECONDS,
            what=f"{victim} answers",
        )
    if victim not in PROGRESS:
        is_back: Callable[[], bool] = lambda: (  # noqa: E731
            _has_pages(testbed) if victim == "web" else _beats(testbed, victim)
        )
        wait_until(is_back, seconds=RESTART_SECONDS, what=f"{victim} is back")
        return
    wait_until(
        lambda: _number(testbed, PROGRESS[victim]) >= 0, seconds=RESTART_SECONDS, what="the database answers"
    )
    before = _number(testbed, PROGRESS[victim])
    # On a slow machine the DAQ may be through meanwhile: then what must be true in the end says enough.
    goes_on: Callable[[], bool] = lambda: (  # noqa: E731
        _number(testbed, PROGRESS[victim]) > before or _number(testbed, GENERATED) == STFS
    )
    wait_until(goes_on, seconds=HANDED_ON_SECONDS, what=f"work goes on after {victim} was killed")


def test_a_run_survives_the_kill_of_every_process(testbed: Testbed) -> None:
    witness = Witness(testbed.storage)
    witness.start()
    run = testbed.start_run("--stf-count", str(STFS), "--stf-size", "100000", "--stf-interval", "1.0")
    wait_until(
        lambda: _number(testbed, _verified(run)) > 0,
        seconds=180,
        what="the first copy is verified",
    )

    for kind in ("pilot", "payload", "worker"):
        _kill_in_mid_job(testbed, kind)
    for victim in (*VICTIMS, *(name for name in BROKER_PROGRAMS if name == testbed.bus)):
        _kill_and_see_it_go_on(testbed, victim)

    wait_until(lambda: testbed.lifecycle(run) == "closed", seconds=480, what="the run is closed")
    wait_until(
        lambda: _number(testbed, _released(run)) == STFS,
        seconds=120,
        what="the exit buffer is empty",
    )
    witness.stop()

    assert _journal_counts(testbed, run) == {
        "run_workflow": 1,
        "run_imminent": 1,
        "start_run": 1,
        "end_run": 1,
        "stf_gen": STFS,
        "stf_ready": STFS,
        "stf_replicated": 2 * STFS,
        "stf_releasable": STFS,
        "stf_released": STFS,
        "task_submitted": 2,
        "stf_processed": STFS,
        "output_registered": 2 * STFS,
        "run_closed": 1,
    }
    assert witness.unsafe == {}
    assert len(witness.gone) == STFS
    _assert_rucio_has_each_once(testbed, run)
    _assert_sites_have_the_bytes(testbed, run)
    _assert_one_output_of_each_kind(testbed, run)
    assert assert_fast_path_adds_up(testbed, run) > 0


def _kill_in_mid_job(testbed: Testbed, kind: str) -> None:
    """SIGKILL a pilot whose payload runs, or the payload; or a worker of slices."""

    def one() -> bool:
        words = {
            "pilot": ("services.panda.pilot",),
            "payload": ("payloads.stf_summary",),
            "worker": (str(REPOSITORY / "manage.py"), "worker"),
        }
        if kind == "pilot" and not testbed.pids(*words["payload"]):
            return False
        for pid in testbed.pids(*words[kind])[-1:]:
            with suppress(ProcessLookupError):  # it may end by itself meanwhile; then the next one is taken
                os.kill(pid, signal.SIGKILL)
                return True
        return False

    wait_until(one, seconds=120, what=f"a {kind} is killed in the middle of a job")


def _verified(run: int) -> str:
    return (
        "SELECT count(*) FROM stf_replica JOIN stf_stffile ON stf_id = stf_stffile.id JOIN runs_run "
        f"ON run_id = runs_run.id WHERE run_number = {run} AND stf_replica.state = 'verified'"
    )


def _released(run: int) -> str:
    return (
        "SELECT count(*) FROM stf_stffile JOIN runs_run ON run_id = runs_run.id "
        f"WHERE run_number = {run} AND buffer = 'released'"
    )


def _journal_counts(testbed: Testbed, run: int) -> dict[str, int]:
    """Entries by kind, those of other facets and of the fast path left out; every subject counted once per kind and RSE."""
    entries = testbed.rows(
        "SELECT kind, subject, payload->>'rse' FROM runs_journalentry WHERE run_id = "
        "(SELECT id FROM runs_run WHERE run_number = %s) AND kind NOT IN ('core_state', 'dataset_opened', "
        "'dataset_closed', 'input_opened', 'input_closed', 'stf_replica_failed', 'job_failed', 'task_status', "
        "'task_trouble') AND kind !~ %s",
        run,
        FAST_PATH,
    )
    assert len(entries) == len(set(entries)), [item for item, n in Counter(entries).items() if n > 1]
    return dict(Counter(kind for kind, _, _ in entries))


def _rucio(testbed: Testbed) -> Client:
    login = engine("rucio", testbed.home).environment()
    return Client(
        rucio_host=login["RUCIO_HOST"],
        auth_host=login["RUCIO_AUTH_HOST"],
        account=login["RUCIO_ACCOUNT"],
        auth_type="userpass",
        creds={"username": login["RUCIO_USERNAME"], "password": login["RUCIO_PASSWORD"]},
    )


def _assert_rucio_has_each_once(testbed: Testbed, run: int) -> None:
    client = _rucio(testbed)
    dataset = f"swf.{run}.run"
    names = [did["name"] for did in client.list_content("group.daq", dataset)]
    assert sorted(names) == [f"swf.{run}.{n:06d}.stf" for n in range(1, STFS + 1)]
    assert sorted(rule["rse_expression"] for rule in client.list_did_rules("group.daq", dataset)) == [
        "E1_BNL",
        "E1_JLAB",
    ]
    replicas = client.list_replicas([{"scope": "group.daq", "name": dataset}], all_states=True, sort="random")
    available = Counter(
        rse for replica in replicas for rse, state in replica["states"].items() if state == "AVAILABLE"
    )
    assert {rse: available[rse] for rse in ("E1_BNL", "E1_JLAB")} == {"E1_BNL": STFS, "E1_JLAB": STFS}


def _assert_sites_have_the_bytes(testbed: Testbed, run: int) -> None:
    announced = testbed.rows(
        "SELECT subject, payload->>'checksum' FROM runs_journalentry WHERE kind = 'stf_gen' AND run_id = "
        "(SELECT id FROM runs_run WHERE run_number = %s)",
        run,
    )
    for name, checksum in announced:
        for rse in ("E1_BNL", "E1_JLAB"):
            assert adler32_file(site_copy(testbed.storage, rse, name)) == checksum, (rse, name)


def _assert_one_output_of_each_kind(testbed: Testbed, run: int) -> None:
    """What Rucio has in the output datasets, and the sites on their disks: of every STF one file of each kind."""
    outputs = testbed.rows(
        "SELECT DISTINCT output.scope, output.dataset FROM stf_processingoutput AS output "
        "JOIN stf_processingjob AS job ON job.id = output.job_id JOIN stf_processingtask AS task "
        "ON task.id = job.task_id JOIN runs_run AS run ON run.id = task.run_id WHERE run_number = %s",
        run,
    )
    client = _rucio(testbed)
    kinds: Counter[str] = Counter()
    for scope, dataset in outputs:
        for replica in client.list_replicas(
            [{"scope": scope, "name": dataset.rstrip("/").partition(":")[2] or dataset.rstrip("/")}],
            sort="random",
        ):
            [(rse, _)] = replica["rses"].items()
            copy = site_copy(testbed.storage, rse, replica["name"], replica["scope"])
            assert adler32_file(copy) == replica["adler32"], copy
            kinds[".".join(replica["name"].split(".")[-2:])] += 1
    assert {kind: kinds[kind] for kind in ("stf.root", "stf.json")} == {"stf.root": STFS, "stf.json": STFS}
