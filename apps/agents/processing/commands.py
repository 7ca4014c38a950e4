"""Carrying out what people ask PanDA to do with a task."""

from __future__ import annotations

from apps.runs.errors import RetryableError
from apps.stf import selectors, services
from apps.stf.choices import FINAL_TASK, TaskCommand
from apps.stf.models import ProcessingTask

from .panda import Panda, RefusedByPanda

# Of these PanDA retries what has failed; others it makes go on by looking at their input again.
RETRIABLE = frozenset({"finished", "failed", "exhausted"})


class Commands:
    """Its step is the loop `commands` of the processing agent."""

    def __init__(self, panda: Panda) -> None:
        self._panda = panda

    def step(self) -> bool:
        """Carry out the commands that wait.

        Raises:
            RetryableError: PanDA is away; they wait, and say so.
        """
        for task in selectors.tasks_to_command():
            starts_again = task.command in (TaskCommand.RETRY, TaskCommand.RELOAD)
            if starts_again and task.status not in FINAL_TASK:
                services.postpone_command(
                    task, f"waits until PanDA has ended the task, which is {task.status}"
                )
                continue
            try:
                services.finish_command(task, self._tell(task))
            except RefusedByPanda as refusal:
                services.finish_command(task, f"PanDA refuses: {refusal}", accepted=False)
            except RetryableError as error:
                services.postpone_command(task, str(error))
                raise
        return False

    def _tell(self, task: ProcessingTask) -> str:
        jedi_task_id = task.jedi_task_id or 0
        match task.command:
            case TaskCommand.KILL:
                return self._panda.kill_task(jedi_task_id)
            case TaskCommand.FINISH:
                return self._panda.finish_task(jedi_task_id)
            case TaskCommand.RETRY if task.status in RETRIABLE:
                return self._panda.retry_task(jedi_task_id)
            case _:
                return self._panda.reload_input(jedi_task_id)
