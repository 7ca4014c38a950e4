"""The gateway to PanDA. It and `prun` are the only modules of the project that import its client.

It speaks plain values and knows three outcomes: done, `RetryableError` (PanDA is away or busy), `RefusedByPanda` (it
understood the call and refuses it). The client itself waits up to ten minutes for an answer, says little of what went
wrong, and may ask a person for a login: its transport is replaced by one that does none of this.
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx

from apps.runs.errors import RetryableError

# Without it the client asks the DNS for the names of its server's addresses as it is imported.
os.environ.setdefault("PANDA_BEHIND_REAL_LB", "1")

from pandaclient import Client

CALL_SECONDS = 20.0
MOST_JOBS = 100
NO_REASON = "PanDA gives no reason"
# Of a submission: new, twice a name that it knows already, and an ended task of this name that goes on.
TAKEN = frozenset({0, 1, 2, 3})

_answers = threading.local()
_JEDI_TASK_ID = re.compile(r"jediTaskID=(\d+)")


class RefusedByPanda(Exception):
    """PanDA understood the call and refuses it; the text is PanDA's reason."""


@dataclass(frozen=True)
class TaskFacts:
    """A task as PanDA lists it."""

    jedi_task_id: int
    task_name: str
    status: str


@dataclass(frozen=True)
class FileFacts:
    """A file of a job. Size in bytes, checksum adler32 in 8 hexadecimal digits; both only of what is written."""

    kind: str
    scope: str
    name: str
    dataset: str
    size_bytes: int
    checksum: str


@dataclass(frozen=True)
class JobFacts:
    """A job as PanDA describes it."""

    panda_id: int
    status: str
    attempt_nr: int
    reason: str
    created_at: datetime
    files: tuple[FileFacts, ...]


class Panda:
    """The real client, with server and login from `PANDA_*`. Keeps no state: any thread may call it."""

    def submit(self, parameters: dict[str, Any]) -> int:
        """Give PanDA a task; its id. A name that PanDA knows already is the same task: it keeps its id."""
        status, answer = self._call(Client.insertTaskParams, parameters, properErrorCode=True)
        code, message = answer if status == 0 else (status, _said())
        found = _JEDI_TASK_ID.search(str(message))
        if code not in TAKEN or found is None:
            raise RefusedByPanda(str(message or NO_REASON))
        return int(found.group(1))

    def changed_tasks(self, since: datetime, label: str) -> list[TaskFacts]:
        """Our tasks with this `prodSourceLabel` that have changed since then, as far as PanDA has taken them up."""
        found = self._data(
            Client.getJobIDsJediTasksInTimeRange,
            f"{since.astimezone(UTC):%Y-%m-%d %H:%M:%S}",
            task_type=label,
        )
        return [
            TaskFacts(int(task["jediTaskID"]), str(task["taskName"]), str(task["status"]))
            for task in found.values()
        ]

    def why(self, jedi_task_id: int) -> str:
        """What PanDA says of the state of a task; often nothing."""
        status, answer = self._call(Client.get_task_details_json, jedi_task_id)
        if status != 0 or not answer[0]:
            return ""
        return _plain(answer[1].get("errorDialog"))

    def job_ids(self, jedi_task_id: int) -> list[int] | None:
        """The PandaIDs of all jobs of a task; None while PanDA does not know the task, which it has only been given."""
        try:
            return [int(panda_id) for panda_id in self._data(Client.getPandaIDsWithTaskID, jedi_task_id)]
        except RefusedByPanda as refusal:
            if "not found" in str(refusal).lower():
                return None
            raise

    def jobs(self, panda_ids: Sequence[int]) -> list[JobFacts]:
        """These jobs, at most `MOST_JOBS`; those that PanDA cannot describe are left out."""
        found = self._data(Client.getFullJobStatus, list(panda_ids))
        return [_job(job) for job in found if job is not None]

    def input_states(self, jedi_task_id: int) -> dict[str, str]:
        """PanDA's word for every STF that a task has seen in its input dataset, by name."""
        datasets = self._data(Client.get_files_in_datasets, jedi_task_id, dataset_types="input")
        return {str(file["lfn"]): str(file["status"]) for dataset in datasets for file in dataset["files"]}

    def kill_task(self, jedi_task_id: int) -> str:
        """End the task and its jobs; what PanDA answers. It carries it out later."""
        return self._command(Client.killTask, jedi_task_id)

    def finish_task(self, jedi_task_id: int) -> str:
        """End the task with what it has; what PanDA answers."""
        return self._command(Client.finishTask, jedi_task_id)

    def retry_task(self, jedi_task_id: int) -> str:
        """Try what has failed in an ended task again; what PanDA answers."""
        status, answer = self._call(Client.retryTask, jedi_task_id, properErrorCode=True)
        code, message = answer if status == 0 else (status, answer)
        if code not in (0, 3):
            raise RefusedByPanda(str(message or NO_REASON))
        return str(message)

    def reload_input(self, jedi_task_id: int) -> str:
        """Have an ended task look at its input dataset again; what PanDA answers."""
        return self._command(Client.reload_input, jedi_task_id)

    def kill_jobs(self, panda_ids: Sequence[int]) -> None:
        """Have these jobs ended; those with a pilot are when it next says something."""
        self._data(Client.killJobs, list(panda_ids))

    def _command(self, function: Callable[..., Any], jedi_task_id: int) -> str:
        status, answer = self._call(function, jedi_task_id)
        done, _ = answer if status == 0 else (False, None)
        if not done:
            raise RefusedByPanda(_said() or NO_REASON)
        return _said() or "accepted"

    def _data(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """The data of an answer, of which the client tells nothing else."""
        status, data = self._call(function, *args, **kwargs)
        if status != 0:
            raise RefusedByPanda(_said() or NO_REASON)
        return data

    @staticmethod
    def _call(function: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[int, Any]:
        _answers.message = ""
        try:
            status, answer = function(*args, **kwargs)
        except SystemExit as error:
            raise RefusedByPanda(
                f"PanDA's client ends itself with {error.code}: see its PANDA_* variables"
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise RetryableError(
                f"PanDA's answer is not understood: {type(error).__name__}: {error}"
            ) from error
        return status, answer


class _Transport(Client._HttpClient):  # type: ignore[misc] # it has no types
    """The client's transport, with a bound on every call and its troubles as this project's errors."""

    def get_id_token(self, force_new: bool = False) -> bool:  # noqa: FBT001, FBT002 - the client's signature
        """The token that was given; the client would ask a person to log in."""
        try:
            token = Client.get_token_string(None, False)  # noqa: FBT003 - the client's signature
        except OSError as error:
            raise RetryableError(f"PanDA's token cannot be read: {error}") from error
        if not token:
            raise RetryableError(
                "there is no token for PanDA: set OIDC_AUTH_TOKEN_FILE or PANDA_AUTH_ID_TOKEN"
            )
        self.id_token = token.strip()
        return True

    def _send(
        self,
        method: str,
        url: str,
        headers: dict[str, str] | None = None,
        content: bytes | None = None,
        files: Any = None,
        verify: Any = True,  # noqa: FBT002 - the client's signature
        download_name: str | None = None,
    ) -> tuple[int, bytes]:
        try:
            with httpx.Client(verify=verify, timeout=CALL_SECONDS) as client:
                response = client.request(method, url, headers=headers, content=content, files=files)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise RetryableError(f"PanDA does not answer: {error or type(error).__name__}") from error
        if response.status_code >= 500 or response.status_code == 429:
            raise RetryableError(f"PanDA has an error of its own: {_one_line(response.text)}")
        if response.status_code != 200:
            raise RefusedByPanda(_one_line(response.text) or f"HTTP status {response.status_code}")
        _answers.message = _message(response.content)
        return 0, response.content


Client._HttpClient = _Transport


def _said() -> str:
    """The text beside the data of the last answer to this thread, which the client keeps to itself."""
    return str(getattr(_answers, "message", ""))


def _message(content: bytes) -> str:
    try:
        answer = json.loads(content)
    except ValueError:
        return ""
    return _one_line(str(answer.get("message") or "")) if isinstance(answer, dict) else ""


def _one_line(text: str) -> str:
    return " ".join(text.split())[:500]


def _plain(value: Any) -> str:
    """The client says NULL for nothing."""
    return "" if value in (None, "NULL") else _one_line(str(value))


# Who may say why a job failed, the nearest to the payload first.
_COMPLAINERS = ("exe", "pilot", "ddm", "jobDispatcher", "taskBuffer", "sup", "brokerage")


def _why(job: Any) -> str:
    for who in _COMPLAINERS:
        if diagnosis := _plain(getattr(job, f"{who}ErrorDiag")):
            return f"{diagnosis} ({who} error {_plain(getattr(job, f'{who}ErrorCode')) or 0})"
    code = _plain(job.transExitCode)
    return f"the payload ended with exit code {code}" if code not in ("", "0") else ""


def _job(job: Any) -> JobFacts:
    created = job.creationTime
    return JobFacts(
        panda_id=int(job.PandaID),
        status=str(job.jobStatus),
        attempt_nr=int(_plain(job.attemptNr) or 1),
        reason=_why(job),
        created_at=created.replace(tzinfo=UTC) if isinstance(created, datetime) else datetime.now(UTC),
        files=tuple(_file(file) for file in job.Files),
    )


def _file(file: Any) -> FileFacts:
    return FileFacts(
        kind=_plain(file.type),
        scope=_plain(file.scope),
        name=_plain(file.lfn),
        dataset=_plain(file.destinationDBlock) or _plain(file.dataset).rstrip("/"),
        size_bytes=int(_plain(file.fsize) or 0),
        checksum=_plain(file.checksum).removeprefix("ad:"),
    )
