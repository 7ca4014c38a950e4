"""The existing agents against this testbed, request by request: each goes on as it would with its own server.

A request has the fields that these agents send, and is answered as they need it: with a status below 300 (they try again
for minutes at 404 and 5xx, and give up at anything else), and with the fields that they go on with.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from apps.runs.models import Run
from apps.stf.models import StfFile
from tests.rest import Agent
from tests.slices import counted

pytestmark = pytest.mark.django_db


def now() -> str:
    """The time as these agents write it: on their clock, without a zone."""
    return datetime.now().isoformat()


class OldAgent:
    """An agent of the existing system, with the calls that all of them make."""

    def __init__(self, agent_type: str) -> None:
        self._rest = Agent("swf", by_token=True)
        self.agent_type = agent_type
        answer = self.call("POST", "state/next-agent-id/")
        assert answer["status"] == "success"
        self.name = f"{agent_type.lower()}-agent-ann-{answer['agent_id']}"
        ensured = self.call("POST", "namespaces/ensure/", {"name": "torre1", "owner": "ann"})
        assert ensured["status"] == "success"
        assert isinstance(ensured["created"], bool)
        subscriber = self.call(
            "POST",
            "subscribers/",
            {
                "subscriber_name": f"{self.name}-/topic/epictopic",
                "description": f"{agent_type} agent subscribing to /topic/epictopic",
                "is_active": True,
                "fraction": 1.0,
            },
        )
        assert subscriber["subscriber_name"]
        self.beat("STARTING")

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """What a request is answered; it must not be refused, and must not be empty."""
        answer: Any = self._rest.ask(method, path, body)
        assert answer.status_code < 300, (path, answer.status_code, answer.content)
        return answer.json()

    def rows(self, path: str) -> Any:
        """A list, which most of these agents take in either shape."""
        answer = self.call("GET", path)
        return answer if isinstance(answer, list) else answer["results"]

    def beat(self, state: str, **workflow: Any) -> None:
        """A heartbeat, plain or enhanced."""
        said = {
            "instance_name": self.name,
            "agent_type": self.agent_type,
            "status": "OK",
            "description": f"{self.agent_type} agent. MQ: connected",
            "mq_connected": True,
            "pid": 4711,
            "hostname": "swf01",
            "operational_state": state,
            "namespace": "torre1",
        }
        assert self.call("POST", "systemagents/heartbeat/", said | workflow)

    def log(self, message: str, run_id: str) -> None:
        """A record of its log."""
        said = {
            "app_name": "swf",
            "instance_name": self.name,
            "timestamp": now(),
            "level": 20,
            "levelname": "INFO",
            "message": message,
            "module": "agent",
            "funcname": "on_message",
            "lineno": 1,
            "process": 4711,
            "thread": 139887654321,
            "extra_data": {"run_id": run_id, "username": "ann"},
        }
        assert self.call("POST", "logs/", said)


class Runner(OldAgent):
    """The workflow runner."""

    def begin(self) -> tuple[str, str]:
        """Register the workflow and an execution, take a run number; the ids of execution and run."""
        sequence = self.call("POST", "state/next-workflow-execution-id/", {"workflow_name": "stf_datataking"})
        execution_id = f"stf_datataking-ann-{sequence['sequence']:04d}"
        definition = {
            "workflow_name": "stf_datataking",
            "version": "1.0",
            "workflow_type": "simulation",
            "definition": "class WorkflowExecutor: ...",
            "parameter_values": {"workflow": {"name": "stf_datataking"}},
            "created_by": "ann",
            "created_at": now(),
        }
        which = "workflow-definitions/?workflow_name=stf_datataking&version=1.0"
        if not self.rows(which):
            self.call("POST", "workflow-definitions/", definition)
        self.call(
            "POST",
            "workflow-executions/",
            {
                "execution_id": execution_id,
                "workflow_definition": self.rows(which)[0]["id"],
                "namespace": "torre1",
                "status": "running",
                "executed_by": "ann",
                "start_time": now(),
                "parameter_values": {"fast_processing": {"slices_per_sample": 3}},
            },
        )
        answer = self.call("POST", "state/next-run-number/")
        assert answer["status"] == "success"
        run_id = str(answer["run_number"])
        self.call(
            "POST",
            "run-states/",
            {
                "run_number": int(run_id),
                "phase": "initializing",
                "state": "imminent",
                "substate": "preparing",
                "target_worker_count": 30,
                "active_worker_count": 0,
                "stf_samples_received": 0,
                "slices_created": 0,
                "state_changed_at": now(),
                "metadata": {"execution_id": execution_id, "stf_sampling_rate": 1.0},
            },
        )
        return execution_id, run_id

    def end(self, execution_id: str) -> None:
        said = {"status": "completed", "end_time": now()}
        assert self.call("PATCH", f"workflow-executions/{execution_id}/", said)["status"] == "completed"


class Data(OldAgent):
    """The data agent."""

    def run_imminent(self, run_id: str) -> None:
        said = {"run_number": int(run_id), "start_time": now(), "run_conditions": {}}
        self.monitor_run_id = self.call("POST", "runs/", said)["run_id"]

    def stf_gen(self, filename: str, sequence: int) -> str:
        said = {
            "run": self.monitor_run_id,
            "stf_filename": filename,
            "file_size_bytes": None,
            "machine_state": "run",
            "status": "registered",
            "metadata": {
                "created_by": self.name,
                "substate": "physics",
                "start": None,
                "end": None,
                "sequence": sequence,
            },
        }
        return str(self.call("POST", "stf-files/", said)["file_id"])

    def end_run(self) -> None:
        assert self.call("PATCH", f"runs/{self.monitor_run_id}/", {"end_time": now()})


class Processing(OldAgent):
    """The prompt processing agent: it looks through whole lists, and notes with the STFs what it has done."""

    def mark(self, run_id: str, status: str) -> int:
        """Say of all STFs of the run how far they are; how many those are."""
        (run,) = [row for row in self.rows("runs/") if str(row["run_number"]) == run_id]
        mine = [row for row in self.rows("stf-files/") if str(row["run"]) == str(run["run_id"])]
        for row in mine:
            notes = row["metadata"] | {"panda_tracking_agent": self.name, "panda_task_id": "42"}
            assert self.call("PATCH", f"stf-files/{row['file_id']}/", {"status": status, "metadata": notes})
        return len(mine)

    def recoverable(self) -> list[str]:
        """What it would go on with after a restart."""
        rows = self.rows("stf-files/")
        return [
            row["stf_filename"]
            for row in rows
            if row["status"] == "processing" and row["metadata"].get("panda_tracking_agent") == self.name
        ]


class FastMon(OldAgent):
    """The fast monitoring agent."""

    def stf_ready(self, filename: str) -> dict[str, Any]:
        """Register a TF file, unless it is; its row."""
        name = filename.removesuffix(".stf") + "_tf_001.tf"
        # It goes through the answer as through a list.
        known = self.call("GET", f"fastmon-files/?tf_filename={name}")
        assert isinstance(known, list)
        if known:
            return dict(known[0])
        said = {
            "stf_file": filename,
            "tf_filename": name,
            "tf_first": 12,
            "tf_last": 17,
            "tf_count": 6,
            "file_size_bytes": 0,
            "status": "registered",
            "metadata": {"simulation": True, "created_from": filename},
        }
        made: dict[str, Any] = self.call("POST", "fastmon-files/", said)
        assert made["tf_file_id"]
        assert made["status"] == "registered"
        return made


class Fast(OldAgent):
    """The fast processing agent: it cuts, counts, and writes down what it sees."""

    def begin(self, execution_id: str, run_id: str) -> None:
        self.run_id = run_id
        parameters = self.call("GET", f"workflow-executions/{execution_id}/")["parameter_values"]
        self.slices = parameters["fast_processing"]["slices_per_sample"]
        self.event("run_imminent")

    def state(self, **said: Any) -> None:
        assert self.call("PATCH", f"run-states/{self.run_id}/", {"state_changed_at": now(), **said})

    def event(self, event_type: str, **data: Any) -> None:
        said = {
            "timestamp": now(),
            "run_number": self.run_id,
            "event_type": event_type,
            "state": "unknown",
            "substate": None,
            "event_data": data,
        }
        assert self.call("POST", "system-state-events/", said)

    def cut(self, tf_file: dict[str, Any]) -> None:
        """Slices of two time frames each, one after the other."""
        for slice_id in range(self.slices):
            first = tf_file["tf_first"] + 2 * slice_id
            said = {
                "slice_id": slice_id,
                "tf_first": first,
                "tf_last": first + 1,
                "tf_count": 2,
                "tf_filename": tf_file["tf_filename"],
                "stf_filename": tf_file["stf_file"],
                "run_number": self.run_id,
                "status": "queued",
                "retries": 0,
                "metadata": {"created_by": self.name},
            }
            assert self.call("POST", "tf-slices/", said)["id"]
        current = self.call("GET", f"run-states/{self.run_id}/")
        self.state(
            stf_samples_received=current["stf_samples_received"] + 1,
            slices_created=current["slices_created"] + self.slices,
            slices_queued=current["slices_queued"] + self.slices,
        )

    def slice_result(self, slice_id: int, state: str) -> None:
        found = self.call("GET", f"tf-slices/?run_number={self.run_id}&slice_id={slice_id}")
        assert isinstance(found, list)
        said = {
            "status": state,
            "processed_at": now(),
            "metadata": {"worker_hostname": "swf01", "result": {}},
        }
        assert self.call("PATCH", f"tf-slices/{found[0]['id']}/", said)
        self.event("slice_result", state=state)


def test_the_existing_agents_take_a_run(exit_buffer: Path, db: None) -> None:
    runner, data, processing = Runner("DAQ_Simulator"), Data("DATA"), Processing("PROCESSING")
    fastmon, fast = FastMon("FASTMON"), Fast("FAST_PROCESSING")
    agents = (runner, data, processing, fastmon, fast)
    assert len({agent.name for agent in agents}) == 5

    execution_id, run_id = runner.begin()
    data.run_imminent(run_id)
    fast.begin(execution_id, run_id)
    fast.state(phase="physics", state="running", substate="physics")

    for sequence in (1, 2, 3):
        filename = f"swf.{run_id}.{sequence:06d}.stf"
        (exit_buffer / filename).write_bytes(b"STF %d" % sequence)
        data.stf_gen(filename, sequence)
        data.beat("PROCESSING", workflow_enabled=True, current_stf_count=1, total_stf_processed=sequence)
        for agent in agents:
            agent.log(f"STF {sequence}", run_id)
    assert processing.mark(run_id, "processing") == 3
    assert len(processing.recoverable()) == 3

    tf_file = fastmon.stf_ready(f"swf.{run_id}.000001.stf")
    assert fastmon.stf_ready(f"swf.{run_id}.000001.stf")["tf_file_id"] == tf_file["tf_file_id"]
    fast.cut(tf_file)
    fast.state(substate="standby")
    fast.state(substate="physics")
    for slice_id, state in enumerate(("completed", "failed", "completed")):
        fast.slice_result(slice_id, state)

    fast.state(phase="completed", state="ended", substate=None)
    data.end_run()
    runner.end(execution_id)
    assert processing.mark(run_id, "processed") == 3
    for agent in agents:
        agent.beat("EXITED")

    run = Run.objects.get(run_number=run_id)
    assert (run.lifecycle, run.expected_stf_count) == ("ended", 3)
    assert run.execution.execution_id == execution_id
    assert StfFile.objects.filter(run=run, remark__status="processed").count() == 3
    assert counted(run) == {"done": 2, "failed": 1}


def test_an_agent_that_begins_again_is_not_refused(exit_buffer: Path, db: None) -> None:
    """It has lost its memory, or the answer: it sends the same again."""
    runner, data = Runner("DAQ_Simulator"), Data("DATA")
    _, run_id = runner.begin()
    filename = f"swf.{run_id}.000001.stf"
    (exit_buffer / filename).write_bytes(b"STF 1")
    for _ in range(2):
        data.run_imminent(run_id)
        file_ids = {data.stf_gen(filename, 1) for _ in range(2)}
        assert len(file_ids) == 1
    data.end_run()
    data.end_run()

    assert (Run.objects.count(), StfFile.objects.count()) == (1, 1)
    again, _ = runner.begin()
    assert again == "stf_datataking-ann-0002"
