"""The whole suite on several processes: file by file, each process with engines of its own, `tests/system` last and alone.

`run_all_tests.sh` asks for it: `-n auto --dist loadfile --max-worker-restart 0`, where a process that dies ends the run
and names the test it died in. Tests that are named on the command line run in one process, as does everything under
plain `pytest`.
"""

from __future__ import annotations

import os
from itertools import chain, zip_longest

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import NodeManager, WorkerController

# Whole testbeds have deadlines of their own and take both cores: nothing else runs beside them.
ALONE = "tests/system"
# Those that take half a minute and more begin first, so that in the end no process is alone with one of them.
LONG = (
    "tests/agents/test_broker_away.py",
    "tests/agents/worker/test_worker.py",
    "tests/browser/test_live_processing.py",
    "tests/services/pilot/test_pilots_service.py",
    "tests/site/api/test_fuzz.py",
    "tests/client/test_agent.py",
    "tests/browser/test_live_pages.py",
    "tests/panda/test_faults.py",
    "tests/benchmarks/test_api.py",
    "tests/agents/fastproc/test_processes.py",
    "tests/browser/test_fastmon.py",
    "tests/panda/test_server.py",
    "tests/browser/test_api_pages.py",
    "tests/services/test_processing_agent.py",
    "tests/stf/test_slice_machine.py",
    "tests/agents/stomp/test_faults.py",
)
MOST = 4  # each process brings a PostgreSQL, a Rucio and brokers
# How long a process may take to stop them after Ctrl-C, before it is killed and they are left behind.
NodeManager.EXIT_TIMEOUT = 60


@pytest.hookimpl(tryfirst=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """How many processes `-n auto` means: two more than cores for the whole suite, none for tests that were named.

    Each waits for its engines for about half of the time.
    """
    whole = config.args_source == pytest.Config.ArgsSource.TESTPATHS
    return min((os.cpu_count() or 1) + 2, MOST) if whole else 0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long files first and those that run alone behind all others. Between them, files whose tests start engines,
    and so wait, and files that compute come by turns: else all processes wait at one time, and compute at another.
    """
    waits: dict[str, bool] = {}
    for item in items:
        file = _file(item)
        waits[file] = waits.get(file, False) or item.get_closest_marker("services") is not None
    by_turns = zip_longest(*([file for file in waits if waits[file] is kind] for kind in (True, False)))
    order = dict.fromkeys((*LONG, *chain.from_iterable(by_turns)))
    place = {file: nth for nth, file in enumerate(order)}
    items.sort(key=lambda item: (1, 0) if alone(item.nodeid) else (0, place[_file(item)]))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> AloneLast | None:
    """Which process gets which tests, for `--dist loadfile`."""
    if config.getoption("dist") != "loadfile":
        return None
    config.option.loadscopereorder = False  # by the number of tests, which says nothing of how long they take
    return AloneLast(config, log)


def alone(nodeid: str) -> bool:
    """Whether nothing may run beside this test."""
    return nodeid.startswith(f"{ALONE}/")


def _file(item: pytest.Item) -> str:
    return item.nodeid.partition("::")[0]


class AloneLast(LoadFileScheduling):  # type: ignore[misc]
    """Files in their order to whoever is free. When no more are left, one process waits for the end of all others,
    and then runs the tests that need the machine for themselves."""

    def _split_scope(self, nodeid: str) -> str:
        return f"{ALONE}/" if alone(nodeid) else super()._split_scope(nodeid)

    def _reschedule(self, node: WorkerController) -> None:
        if self._is_to_wait(node):
            self._send_away_all_but_one()
        else:
            super()._reschedule(node)

    def _assign_work_unit(self, node: WorkerController) -> None:
        if not self._is_to_wait(node):
            super()._assign_work_unit(node)

    def remove_node(self, node: WorkerController) -> str | None:
        crashed_in = super().remove_node(node)
        for other in self.nodes:
            self._reschedule(other)
        return crashed_in

    def _is_to_wait(self, node: WorkerController) -> bool:
        """Whether only tests that run alone are left, and others are at work."""
        return alone(next(iter(self.workqueue), "")) and any(other is not node for other in self.nodes)

    def _send_away_all_but_one(self) -> None:
        """They end what they have. The one that stays holds its last test back until it is given more."""
        for node in [node for node in self.nodes if not node.shutting_down][1:]:
            node.shutdown()
