"""PanDA in memory: the gateway's methods over a server that follows input datasets, as the embedded one is seen to do in
`tests/services/test_panda_gateway.py`, and the troubles that it has only rarely."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any

from apps.agents.processing.panda import FileFacts, JobFacts, RefusedByPanda, TaskFacts
from apps.runs.errors import RetryableError

FINAL_TASK = ("done", "finished", "failed", "aborted", "broken")
FINAL_JOB = ("finished", "failed", "cancelled")


@dataclass
class FakeJob:
    panda_id: int
    task_id: int
    name: str
    attempt_nr: int
    status: str = "activated"
    reason: str = ""
    to_be_killed: bool = False


@dataclass
class FakeTask:
    task_id: int
    name: str
    dataset: str
    label: str
    status: str = "defined"
    error: str = ""
    is_open: bool = True
    files: dict[str, str] = field(default_factory=dict)
    attempts: dict[str, int] = field(default_factory=dict)


class FakePanda:
    """A server whose steps are made when `tick` is called.

    Attributes:
        away: the reason why it does not answer; empty while it does.
        refused: the reason why it takes no task; empty while it does.
        calls: the names of the methods called, in order.
    """

    def __init__(
        self,
        members: Callable[[str], Collection[str]],
        is_open: Callable[[str], bool],
        *,
        max_attempt: int = 3,
    ) -> None:
        """`members` and `is_open` say what Rucio holds of a dataset."""
        self.away = ""
        self.refused = ""
        self.calls: list[str] = []
        self.tasks: dict[int, FakeTask] = {}
        self.jobs_by_id: dict[int, FakeJob] = {}
        self._members = members
        self._is_open = is_open
        self._max_attempt = max_attempt
        self._ids = count(1)

    def submit(self, parameters: dict[str, Any]) -> int:
        self._answer("submit")
        if self.refused:
            raise RefusedByPanda(self.refused)
        name = parameters["taskName"]
        for task in self.tasks.values():
            if task.name == name:
                return task.task_id
        task = FakeTask(next(self._ids), name, parameters["dsForIN"], parameters["prodSourceLabel"])
        self.tasks[task.task_id] = task
        return task.task_id

    def changed_tasks(self, since: datetime, label: str) -> list[TaskFacts]:
        self._answer("changed_tasks")
        return [
            TaskFacts(task.task_id, task.name, task.status)
            for task in self.tasks.values()
            if task.label == label
        ]

    def why(self, jedi_task_id: int) -> str:
        self._answer("why")
        return self.tasks[jedi_task_id].error

    def job_ids(self, jedi_task_id: int) -> list[int] | None:
        self._answer("job_ids")
        if jedi_task_id not in self.tasks:
            return None
        return [job.panda_id for job in self.jobs_by_id.values() if job.task_id == jedi_task_id]

    def jobs(self, panda_ids: Sequence[int]) -> list[JobFacts]:
        self._answer("jobs")
        return [_described(self.jobs_by_id[panda_id]) for panda_id in panda_ids]

    def input_states(self, jedi_task_id: int) -> dict[str, str]:
        self._answer("input_states")
        return dict(self.tasks[jedi_task_id].files)

    def kill_task(self, jedi_task_id: int) -> str:
        self._answer("kill_task")
        return self._command(jedi_task_id, "kill", becomes="aborting", final=False)

    def finish_task(self, jedi_task_id: int) -> str:
        self._answer("finish_task")
        return self._command(jedi_task_id, "finish", becomes="finishing", final=False)

    def retry_task(self, jedi_task_id: int) -> str:
        self._answer("retry_task")
        said = self._command(jedi_task_id, "retry", becomes="toretry", final=True)
        task = self.tasks[jedi_task_id]
        for name in [name for name, state in task.files.items() if state == "failed"]:
            task.files[name], task.attempts[name] = "ready", 0
        return said

    def reload_input(self, jedi_task_id: int) -> str:
        self._answer("reload_input")
        return self._command(jedi_task_id, "incexec", becomes="toincexec", final=True)

    def kill_jobs(self, panda_ids: Sequence[int]) -> None:
        self._answer("kill_jobs")
        for panda_id in panda_ids:
            job = self.jobs_by_id[panda_id]
            if job.status == "running":
                job.to_be_killed = True
            elif job.status not in FINAL_JOB:
                job.status = "cancelled"

    def tick(self) -> None:
        """One step of everything that the server does."""
        self.see_datasets()
        self.work_on_tasks()

    def see_datasets(self) -> None:
        """Look at the input datasets of the open tasks; what is seen is worked on later."""
        for task in self.tasks.values():
            if task.status not in FINAL_TASK:
                self._see_dataset(task)

    def work_on_tasks(self) -> None:
        """Carry out commands, make jobs of what was seen, end tasks; pilots hear of kills."""
        for job in self.jobs_by_id.values():
            if job.to_be_killed and job.status == "running":
                job.status = "cancelled"
        for task in self.tasks.values():
            self._step(task)

    def set_job(self, panda_id: int, status: str, reason: str = "") -> None:
        """A pilot says so of its job; one that has ended hears nothing any more."""
        job = self.jobs_by_id[panda_id]
        if job.status not in FINAL_JOB:
            job.status, job.reason = status, reason

    def open_jobs(self, task_id: int | None = None) -> list[FakeJob]:
        return [
            job
            for job in self.jobs_by_id.values()
            if job.status not in FINAL_JOB and task_id in (None, job.task_id)
        ]

    def _step(self, task: FakeTask) -> None:
        if task.status in ("aborting", "finishing"):
            for job in self.open_jobs(task.task_id):
                job.status = "cancelled"
            self._see_ends(task)
            task.status = "aborted" if task.status == "aborting" else "finished"
        if task.status in FINAL_TASK:
            return
        self._see_ends(task)
        for name in [name for name, state in task.files.items() if state == "ready"]:
            self._make_job(task, name)
        task.status = "running" if task.files else "defined"
        left = [state for state in task.files.values() if state in ("ready", "running")]
        if not task.is_open and not left:
            states = [state for state in task.files.values() if state != "missing"]
            done = states.count("finished")
            task.status = "done" if states and done == len(states) else "finished" if done else "failed"

    def _see_dataset(self, task: FakeTask) -> None:
        there, task.is_open = self._members(_name(task)), self._is_open(_name(task))
        for name in there:
            if task.files.get(name) in (None, "missing"):
                task.files[name] = "running" if self._open_job(task, name) else "ready"
        for name, state in task.files.items():
            if name not in there and state != "finished":
                task.files[name] = "missing"

    def _see_ends(self, task: FakeTask) -> None:
        for name, state in task.files.items():
            jobs = [
                job for job in self.jobs_by_id.values() if (job.task_id, job.name) == (task.task_id, name)
            ]
            if any(job.status == "finished" for job in jobs):
                task.files[name] = "finished"
            elif state == "running" and all(job.status in FINAL_JOB for job in jobs):
                again = task.attempts[name] < self._max_attempt
                task.files[name] = "ready" if again else "failed"

    def _make_job(self, task: FakeTask, name: str) -> None:
        attempt = task.attempts[name] = task.attempts.get(name, 0) + 1
        job = FakeJob(next(self._ids), task.task_id, name, attempt)
        self.jobs_by_id[job.panda_id] = job
        task.files[name] = "running"

    def _open_job(self, task: FakeTask, name: str) -> bool:
        return any(job.name == name for job in self.open_jobs(task.task_id))

    def _command(self, jedi_task_id: int, command: str, *, becomes: str, final: bool) -> str:
        task = self.tasks[jedi_task_id]
        if (task.status in FINAL_TASK) != final or task.status == "broken":
            raise RefusedByPanda(
                f"Command rejected: the {command} command is not accepted if the task is in {task.status} status"
            )
        task.status = becomes
        return (
            f"command={command} is registered for task ID {jedi_task_id}. will be executed in a few minutes"
        )

    def _answer(self, method: str) -> None:
        if self.away:
            raise RetryableError(f"PanDA does not answer: {self.away}")
        self.calls.append(method)


def _name(task: FakeTask) -> str:
    return task.dataset.partition(":")[2]


def _described(job: FakeJob) -> JobFacts:
    made = job.status == "finished"
    output = FileFacts(
        "output", "user.swf", f"{job.panda_id}.root", f"out.{job.task_id}", 10 * made, "0000000a"
    )
    return JobFacts(
        panda_id=job.panda_id,
        status=job.status,
        attempt_nr=job.attempt_nr,
        reason=job.reason,
        created_at=datetime.now(UTC),
        files=(FileFacts("input", "group.daq", job.name, "in", 0, ""), output),
    )
