"""The submitter: gives PanDA the task of every site that has its first STF, once."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from django.utils import timezone

from apps.runs.errors import RetryableError
from apps.stf import selectors, services
from apps.stf.models import ProcessingSite, ProcessingTask
from apps.stf.services import processing_parameters

from .follower import OVERLAP
from .panda import Panda, RefusedByPanda

# What is refused needs somebody to mend it: it is tried again, but not all the time.
REFUSED_PAUSE_SECONDS = 20.0

BuildParameters = Callable[[list[str]], dict[str, Any]]


class Submitter:
    """Its step is the loop `submitter` of the processing agent."""

    def __init__(self, panda: Panda, build_parameters: BuildParameters) -> None:
        self._panda = panda
        self._build = build_parameters
        self._refused: dict[int, tuple[float, str]] = {}

    def step(self) -> bool:
        """Submit what waits.

        Raises:
            RetryableError: PanDA is away, or refuses some tasks. The others are submitted.
        """
        waiting = selectors.tasks_to_submit()
        self._refused = {task.pk: self._refused[task.pk] for task in waiting if task.pk in self._refused}
        for task in waiting:
            again_at, _ = self._refused.get(task.pk, (0.0, ""))
            if time.monotonic() >= again_at:
                self._try(task)
        if self._refused:
            raise RetryableError("; ".join(why for _, why in self._refused.values()))
        return False

    def _try(self, task: ProcessingTask) -> None:
        try:
            self._submit(task)
        except RefusedByPanda as refusal:
            services.note_trouble(task, str(refusal))
            self._refused[task.pk] = (time.monotonic() + REFUSED_PAUSE_SECONDS, f"{task}: {refusal}")
        except RetryableError as error:
            services.note_trouble(task, str(error))
            raise
        else:
            self._refused.pop(task.pk, None)

    def _submit(self, task: ProcessingTask) -> None:
        if services.begin_submission(task) and (known := self._known(task)):
            services.mark_submitted(task, known)
            return
        parameters = self._build(prun_arguments(task))
        parameters |= {
            "runUntilClosed": True,
            "processingType": processing_parameters(task.run).processing_type,
        }
        # A brake may have come while prun was at work.
        if selectors.holds().brake_of(task.run_id) is None:
            services.mark_submitted(task, self._panda.submit(parameters))

    def _known(self, task: ProcessingTask) -> int | None:
        """The id that PanDA has given the task when it was tried before and the answer was lost."""
        since = (task.submitting_at or timezone.now()) - OVERLAP
        label = processing_parameters(task.run).prod_source_label
        tasks = self._panda.changed_tasks(since, label)
        return next((found.jedi_task_id for found in tasks if found.task_name == task.task_name), None)


def prun_arguments(task: ProcessingTask) -> list[str]:
    """What prun is told, by the run's parameters and in the words of the existing system."""
    parameters = processing_parameters(task.run)
    queue = parameters.queues.get(task.site) or ProcessingSite.objects.get(name=task.site).panda_queue
    options = {
        "--exec": parameters.payload,
        "--inDS": task.input_dataset,
        "--outDS": task.task_name.rstrip("/"),
        "--outputs": ",".join(parameters.outputs),
        "--site": queue,
        "--nFilesPerJob": parameters.n_files_per_job,
        "--vo": parameters.vo,
        "--workingGroup": parameters.working_group,
        "--prodSourceLabel": parameters.prod_source_label,
        "--memory": parameters.ram_count,
        "--maxWalltime": parameters.max_walltime,
        "--maxAttempt": parameters.max_attempt,
    }
    given = [text for name, value in options.items() for text in (name, str(value))]
    return [*given, "--noBuild", "--expertOnly_skipScout"]
