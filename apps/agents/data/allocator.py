"""The allocator: the decision box at work. It puts every STF into the input dataset of the site that is to process it,
and takes back what a brake or a site that is down holds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby

from apps.runs.errors import RetryableError
from apps.stf import selectors, services
from apps.stf.models import ProcessingTask, StfProcessing

from .rucio import MOST_FILES, RefusedByRucio, Rucio


class Allocator:
    """Its step is the loop `allocator` of the data agent."""

    def __init__(self, rucio: Rucio) -> None:
        self._rucio = rucio
        self._refusals: list[str] = []

    def step(self) -> bool:
        """Detach what is held, move what is free to another site, attach what is allowed, close what is complete; True
        when there may be more.

        Raises:
            RetryableError: Rucio is away, or refuses what is asked of some datasets. The others are looked after.
        """
        if not selectors.is_processing():
            return False
        self._refusals = []
        held = selectors.to_detach(limit=MOST_FILES)
        for those in _by_site(held):
            self._try(those, self._detach)
        services.move_waiting()
        allowed = selectors.to_attach(limit=MOST_FILES)
        for those in _by_site(allowed):
            self._try(those, self._attach)
        for task in selectors.inputs_to_open():
            self._rucio.open_input(task.input_scope, task.input_name, run_number=task.run.run_number)
            services.open_input(task.run, task.site, scope=task.input_scope, name=task.input_name)
        for task in selectors.inputs_to_close():
            self._rucio.close_dataset(task.input_scope, task.input_name)
            services.close_input(task)
        if self._refusals:
            raise RetryableError("; ".join(self._refusals[:3]))
        return MOST_FILES in (len(held), len(allowed))

    def _try(self, those: Sequence[StfProcessing], act: Callable[[Sequence[StfProcessing]], None]) -> None:
        """Do it to all of a site, or one by one if Rucio refuses: one of them may be bad, and Rucio does not say which."""
        try:
            act(those)
        except RefusedByRucio as refusal:
            if len(those) == 1:
                self._refusals.append(
                    f"run {those[0].run.run_number}: Rucio refuses {those[0].stf}: {refusal}"
                )
                return
            for one in those:
                self._try([one], act)

    def _detach(self, those: Sequence[StfProcessing]) -> None:
        first = those[0]
        name = services.input_name(first.run, first.site)
        self._rucio.detach(first.run.dataset.scope, name, [one.stf.stf_filename for one in those])
        services.mark_detached([one.pk for one in those])

    def _attach(self, those: Sequence[StfProcessing]) -> None:
        run, task = those[0].run, self._open_input(those[0])
        ids, names = [one.pk for one in those], [one.stf.stf_filename for one in those]
        services.begin_attach(ids)
        try:
            self._rucio.attach(task.input_scope, task.input_name, names)
        except RefusedByRucio:
            # Whoever was killed after closing it in Rucio has left it to be thought open.
            self._rucio.open_input(task.input_scope, task.input_name, run_number=run.run_number)
            self._rucio.attach(task.input_scope, task.input_name, names)
        services.mark_attached(ids)

    def _open_input(self, processing: StfProcessing) -> ProcessingTask:
        run, site = processing.run, processing.site
        known = ProcessingTask.objects.filter(run=run, site=site, is_open=True).first()
        if known is not None:
            return known
        scope, name = run.dataset.scope, services.input_name(run, site)
        self._rucio.open_input(scope, name, run_number=run.run_number)
        return services.open_input(run, site, scope=scope, name=name)


def _by_site(processings: Sequence[StfProcessing]) -> list[list[StfProcessing]]:
    """In lists of one run and site each."""

    def place(processing: StfProcessing) -> tuple[int, str]:
        return processing.run_id, processing.site

    return [list(group) for _, group in groupby(sorted(processings, key=place), key=place)]
