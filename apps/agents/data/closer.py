"""The closer: closes datasets that are complete, and asks for the proof of every run that has ended."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from apps.runs.choices import RunLifecycle
from apps.runs.selectors import runs_awaiting_closeout
from apps.stf import selectors, services
from apps.stf.models import CloseoutProof

from .rucio import Rucio

# An incomplete run is asked again, but nobody waits for the answer by the second.
ASK_INCOMPLETE_AGAIN = timedelta(seconds=5)


class Closer:
    """Its step is the loop `closer` of the data agent."""

    def __init__(self, rucio: Rucio) -> None:
        self._rucio = rucio

    def step(self) -> bool:
        """Evaluate the runs that await their closeout. Datasets come last: a Rucio that is away keeps no run from its
        verdict."""
        fresh = CloseoutProof.objects.filter(evaluated_at__gt=timezone.now() - ASK_INCOMPLETE_AGAIN)
        for run in runs_awaiting_closeout().exclude(lifecycle=RunLifecycle.INCOMPLETE, proof__in=fresh):
            services.evaluate(run)
        for dataset in selectors.complete_open_datasets():
            self._rucio.close_dataset(dataset.scope, dataset.name)
            services.close_dataset(dataset)
        return False
