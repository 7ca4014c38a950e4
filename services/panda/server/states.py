"""The states of tasks, input files and jobs, and the moves between them, as tables."""

from __future__ import annotations

TASK_FINAL = ("done", "finished", "failed", "aborted", "broken", "exhausted")
# Tasks whose input dataset is followed, and for which jobs are made.
TASK_FED = ("defined", "ready", "running")
# By PanDA's names: what a command makes of a task, first while it is carried out, then when it has been.
COMMANDS: dict[str, tuple[str, str]] = {
    "kill": ("aborting", "toabort"),
    "finish": ("finishing", "passed"),
    "retry": ("toretry", "ready"),
    "incexec": ("toincexec", "rerefine"),
    "pause": ("paused", "paused"),
}
_ENDED = ("finished", "done", "prepared", "broken", "aborted", "toabort", "aborting", "failed")
REJECTED: dict[str, tuple[str, ...]] = {
    "kill": _ENDED,
    "finish": _ENDED,
    "pause": ("finished", "failed", "done", "aborted", "broken", "paused"),
}
ACCEPTED: dict[str, tuple[str, ...]] = {
    "retry": ("finished", "failed", "exhausted"),
    "incexec": ("finished", "failed", "aborted", "done", "exhausted"),
    "resume": ("paused",),
}
# Where the steps may move a task; a state that is no key is final.
TASK_MOVES: dict[str, tuple[str, ...]] = {
    "waiting": ("registered",),
    "registered": ("defined", "tobroken", "aborting", "finishing", "paused"),
    "rerefine": ("defined", "tobroken", "aborting", "finishing", "paused"),
    "tobroken": ("broken",),
    "defined": ("ready", "prepared", "aborting", "finishing", "paused"),
    "ready": ("running", "defined", "prepared", "aborting", "finishing", "paused"),
    "running": ("ready", "defined", "prepared", "aborting", "finishing", "paused"),
    "paused": ("registered", "rerefine", "defined", "ready", "running", "aborting", "finishing"),
    "aborting": ("toabort",),
    "toabort": ("aborted",),
    "finishing": ("passed", "aborting"),
    "passed": ("prepared",),
    "prepared": ("done", "finished", "failed"),
    "toretry": ("ready",),
    "toincexec": ("rerefine",),
    "done": ("toincexec",),
    "finished": ("toretry", "toincexec"),
    "failed": ("toretry", "toincexec"),
    "exhausted": ("toretry", "toincexec"),
    "aborted": ("toincexec",),
}

JOB_FINAL = ("finished", "failed", "cancelled", "closed")
JOB_QUEUED = ("pending", "defined", "assigned", "activated")
JOB_WITH_PILOT = ("sent", "starting", "running", "transferring")
# What a pilot may say, and what becomes of the job: both ends wait for the adder.
PILOT_SAYS: dict[str, str] = {
    "starting": "starting",
    "running": "running",
    "transferring": "transferring",
    "holding": "transferring",
    "finished": "holding",
    "failed": "holding",
}


def refusal(command: str, status: str, *, production: bool) -> str | None:
    """PanDA's words when a task in this state does not take the command; None when it does."""
    accepted = ACCEPTED.get(command)
    extra = ""
    if accepted is None:
        refused = status in REJECTED[command]
    else:
        refused = status not in accepted
        if command == "retry" and status == "exhausted" and not production:
            refused, extra = True, "and production role is missing"
    if not refused:
        return None
    return (
        f"Command rejected: the {command} command is not accepted if the task is in {status} status {extra}"
    )


def legal(before: str, after: str) -> bool:
    """Whether a task may go from one state to the other."""
    return after in TASK_MOVES.get(before, ())


def verdict(attached: int, finished: int) -> str:
    """The final state of a task whose files have all ended, `attached` of them in all."""
    if finished == 0:
        return "failed"
    return "done" if finished >= attached else "finished"
