"""A run in which a site goes down half-way, and one under the brake: every STF is processed once, or waits and says why."""

from __future__ import annotations

import json

import pytest

from services.bus import Bus

from .testbed import Testbed, wait_until

pytestmark = [
    pytest.mark.services,
    pytest.mark.timeout(1200),
    # Any would do; so it is one with the tests of faults.
    pytest.mark.parametrize("testbed", [Bus.PGMQ], indirect=True),
]

STFS = 30
FEW_STFS = 15
OF_RUN = "run_id = (SELECT id FROM runs_run WHERE run_number = %s)"


def _counts(testbed: Testbed, run: int) -> dict[tuple[str, str], int]:
    """STFs by site and state of their processing."""
    rows = testbed.rows(
        f"SELECT site, state, count(*) FROM stf_stfprocessing WHERE {OF_RUN} GROUP BY site, state", run
    )
    return {(site, state): count for site, state, count in rows}


def _done(testbed: Testbed, run: int) -> int:
    return sum(count for (_, state), count in _counts(testbed, run).items() if state == "done")


def _command(testbed: Testbed, *arguments: str) -> None:
    done = testbed.manage("processing", *arguments)
    assert done.returncode == 0, done.stderr


def _done_at(testbed: Testbed, run: int, site: str) -> int:
    return _counts(testbed, run).get((site, "done"), 0)


def test_a_site_that_goes_down_hands_its_stfs_over_and_gets_new_ones_when_it_is_back(
    testbed: Testbed,
) -> None:
    # It takes data until it is told to stop, so that there are STFs to come however long a site is down: slowly, for what
    # a busy machine is behind with is to be processed in the end.
    run = testbed.start_run("--stf-count", "10000", "--stf-size", "100000", "--stf-interval", "2.0")
    wait_until(
        lambda: _done_at(testbed, run, "E1_JLAB") >= 2,
        seconds=180,
        what="E1_JLAB has processed something",
    )
    _command(testbed, "site", "down", "E1_JLAB", "--reason", "power cut")
    wait_until(
        lambda: not {("E1_JLAB", state) for state in ("waiting", "queued")} & _counts(testbed, run).keys(),
        seconds=180,
        what="nothing waits at E1_JLAB",
    )
    elsewhere = f"SELECT count(*) FROM stf_stfprocessing WHERE {OF_RUN} AND site <> chosen_site"
    wait_until(
        lambda: testbed.rows(elsewhere, run) != [(0,)], seconds=180, what="E1_BNL has STFs of E1_JLAB's"
    )
    before = _done_at(testbed, run, "E1_BNL")
    wait_until(lambda: _done_at(testbed, run, "E1_BNL") > before + 2, seconds=180, what="E1_BNL goes on")
    before = _done_at(testbed, run, "E1_JLAB")
    _command(testbed, "site", "up", "E1_JLAB", "--reason", "the power is back")
    wait_until(lambda: _done_at(testbed, run, "E1_JLAB") > before, seconds=180, what="E1_JLAB has new ones")
    stopped = testbed.manage("control_run", str(run), "stop")
    assert stopped.returncode == 0, stopped.stderr
    wait_until(lambda: testbed.lifecycle(run) == "closed", seconds=480, what="the run is closed")

    [(taken,)] = testbed.rows(f"SELECT count(*) FROM stf_stffile WHERE {OF_RUN}", run)
    assert _done(testbed, run) == taken
    [(jobs,)] = testbed.rows(
        "SELECT count(*) FROM stf_processingjob JOIN stf_processingtask AS task ON task.id = task_id "
        f"WHERE {OF_RUN} AND stf_processingjob.status = 'finished'",
        run,
    )
    assert jobs == taken


def test_the_brake_stops_everything_until_it_is_released(testbed: Testbed) -> None:
    run = testbed.start_run("--workflow", "fast", "--stf-count", str(STFS))
    wait_until(lambda: _done(testbed, run) > 0, seconds=180, what="the first STF is processed")
    _command(testbed, "brake", "on", "--run", str(run), "--cancel", "--reason", "wrong calibration")
    open_jobs = (
        "SELECT count(*) FROM stf_processingjob JOIN stf_processingtask AS task ON task.id = task_id "
        f"WHERE {OF_RUN} AND ended_at IS NULL"
    )
    # Of what was just taken out of the datasets PanDA may make a job all the same.
    unsettled = (
        f"SELECT count(*) FROM stf_stfprocessing WHERE {OF_RUN} AND state NOT IN ('done', 'failed') AND "
        "(attach_asked_at IS NOT NULL OR detached_at IS NOT NULL AND cleared_at IS NULL)"
    )
    wait_until(
        lambda: testbed.rows(unsettled, run) == testbed.rows(open_jobs, run) == [(0,)],
        seconds=180,
        what="no job is left, and PanDA makes none",
    )
    done, jobs = _done(testbed, run), testbed.rows("SELECT max(panda_id) FROM stf_processingjob")
    wait_until(
        lambda: (
            testbed.rows(
                f"SELECT count(*) FROM stf_replica JOIN stf_stffile AS stf ON stf.id = stf_id "
                f"WHERE {OF_RUN} AND stf_replica.state = 'verified'",
                run,
            )
            == [(2 * STFS,)]
        ),
        seconds=180,
        what="archiving goes on",
    )
    assert (_done(testbed, run), testbed.rows("SELECT max(panda_id) FROM stf_processingjob")) == (done, jobs)
    status = json.loads(testbed.manage("processing", "status", "--json").stdout)
    assert "wrong calibration" in json.dumps(status)

    _command(testbed, "brake", "off", "--run", str(run), "--reason", "calibration is right now")
    wait_until(lambda: testbed.lifecycle(run) == "closed", seconds=480, what="the run is closed")
    assert _done(testbed, run) == STFS


def test_archiving_goes_on_without_panda(testbed: Testbed) -> None:
    testbed.stop("panda")
    try:
        run = testbed.start_run("--workflow", "fast", "--stf-count", str(FEW_STFS))
        released = f"SELECT count(*) FROM stf_stffile WHERE {OF_RUN} AND buffer = 'released'"
        wait_until(
            lambda: testbed.rows(released, run) == [(FEW_STFS,)], seconds=180, what="the buffer is empty"
        )
        waiting = "SELECT description FROM agents_systemagent WHERE instance_name = 'processing'"
        wait_until(
            lambda: "PanDA" in testbed.rows(waiting)[0][0],
            seconds=120,
            what="the agent says what it waits for",
        )
    finally:
        testbed.start("panda")
    wait_until(lambda: testbed.lifecycle(run) == "closed", seconds=480, what="the run is closed")
    assert _done(testbed, run) == FEW_STFS
