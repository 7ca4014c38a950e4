"""The killer: ends the jobs of STFs that were taken back, and sees to it that PanDA has let go of these.

An STF may be processed elsewhere only when PanDA is sure to make no job of it any more: PanDA itself says so of the file,
and every job that it has made by then is known and has ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from itertools import groupby

from django.utils import timezone

from apps.runs.errors import RetryableError
from apps.stf import selectors, services
from apps.stf.models import ProcessingTask, StfProcessing

from .jobs import JobWatch
from .panda import MOST_JOBS, Panda, RefusedByPanda

# PanDA's words for a file that was in its input and is there no more, or of which it makes no job for another reason.
LET_GO = frozenset({"missing", "lost", "failed"})
# PanDA may have looked at the dataset before the STF was taken out, and write down what it saw only now.
SETTLE = timedelta(seconds=5)


class Killer:
    """Its step is the loop `killer` of the processing agent."""

    def __init__(self, panda: Panda) -> None:
        self._panda = panda
        self._jobs = JobWatch(panda)

    def step(self) -> bool:
        """Kill what is to be killed, then ask PanDA of what it was made to let go.

        Raises:
            RetryableError: PanDA is away, or refuses what is asked of some tasks.
        """
        refusals = []
        self._jobs.keep(selectors.tasks_to_follow())
        try:
            self._kill()
        except RefusedByPanda as refusal:
            refusals.append(f"PanDA refuses to kill jobs: {refusal}")
        for _, group in groupby(selectors.to_clear(), key=lambda one: (one.run_id, one.site)):
            those = list(group)
            try:
                self._clear(those)
            except RefusedByPanda as refusal:
                refusals.append(f"{those[0].site}: PanDA refuses: {refusal}")
        if refusals:
            raise RetryableError("; ".join(refusals))
        return False

    def _kill(self) -> None:
        ids = [job.panda_id for job in selectors.jobs_to_kill()]
        for first in range(0, len(ids), MOST_JOBS):
            chunk = ids[first : first + MOST_JOBS]
            self._panda.kill_jobs(chunk)
            services.note_kill_asked(chunk)

    def _clear(self, those: Sequence[StfProcessing]) -> None:
        """Of one run and site."""
        asked_at = timezone.now()
        task = ProcessingTask.objects.filter(run=those[0].run_id, site=those[0].site).first()
        if task is None or task.submitting_at is None:
            services.mark_cleared([one.pk for one in those], before=asked_at)
            return
        if task.jedi_task_id is None:
            return  # PanDA may know the task or not: the submitter finds out
        states = self._panda.input_states(task.jedi_task_id)
        let_go = [one.pk for one in those if _has_let_go(one, states.get(one.stf.stf_filename))]
        if let_go:
            self._jobs.look(task)
            services.mark_cleared(let_go, before=asked_at)


def _has_let_go(processing: StfProcessing, state: str | None) -> bool:
    if state is not None:
        return state in LET_GO
    return processing.detached_at is not None and timezone.now() > processing.detached_at + SETTLE
