"""The registrar: one batching writer that registers every waiting STF in Rucio."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from django.conf import settings

from apps.runs.models import Run
from apps.stf import selectors, services
from apps.stf.models import Dataset, StfFile

from .batches import by_run
from .rucio import MOST_FILES, BufferFile, RefusedByRucio, Rucio


class Registrar:
    """Its step is the loop `registrar` of the data agent."""

    def __init__(self, rucio: Rucio) -> None:
        self._rucio = rucio

    def step(self) -> bool:
        """Open datasets of coming runs, then register a batch of what waits; True when there may be more."""
        for run in selectors.runs_without_dataset():
            # A refusal is the run's own trouble: it is said of its first STF.
            with suppress(RefusedByRucio):
                self._open_dataset(run)
        waiting = selectors.to_register(limit=MOST_FILES)
        for stfs in by_run(waiting, lambda stf: stf.run_id):
            self._register(stfs)
        return len(waiting) == MOST_FILES

    def _register(self, stfs: Sequence[StfFile]) -> None:
        """Register the STFs of one run, in one call if Rucio takes them all."""
        run = stfs[0].run
        unfit = {stf.pk: reason for stf in stfs if (reason := _why_unfit(stf))}
        services.mark_registration_failed(run, unfit)
        fit = [stf for stf in stfs if stf.pk not in unfit]
        if not fit:
            return
        try:
            dataset = Dataset.objects.filter(run=run, is_open=True).first() or self._open_dataset(run)
        except RefusedByRucio as refusal:
            reason = f"Rucio refuses its dataset: {refusal}"
            services.mark_registration_failed(run, {stf.pk: reason for stf in fit})
            return
        try:
            self._register_in_rucio(dataset, fit)
        except RefusedByRucio as refusal:
            self._register_singly(dataset, fit, refusal)

    def _register_singly(self, dataset: Dataset, stfs: Sequence[StfFile], refusal: RefusedByRucio) -> None:
        """One of them is bad and Rucio does not say which: find it, so that the others do not suffer."""
        if len(stfs) == 1:
            services.mark_registration_failed(dataset.run, {stfs[0].pk: f"Rucio refuses it: {refusal}"})
            return
        for stf in stfs:
            try:
                self._register_in_rucio(dataset, [stf])
            except RefusedByRucio as error:
                services.mark_registration_failed(dataset.run, {stf.pk: f"Rucio refuses it: {error}"})

    def _register_in_rucio(self, dataset: Dataset, stfs: Sequence[StfFile]) -> None:
        self._rucio.register(
            dataset.scope,
            dataset.name,
            rse=settings.SWF_E0_RSE,
            files=[BufferFile(stf.stf_filename, stf.file_url, stf.size_bytes, stf.checksum) for stf in stfs],
        )
        services.mark_registered(dataset, [stf.pk for stf in stfs], rses=list(dataset.rules))

    def _open_dataset(self, run: Run) -> Dataset:
        name = services.dataset_name(run)
        rules = self._rucio.open_dataset(
            settings.SWF_SCOPE,
            name,
            rses=run.parameters["replication"]["rses"],
            run_number=run.run_number,
        )
        return services.open_dataset(run, scope=settings.SWF_SCOPE, name=name, rules=rules)


def _why_unfit(stf: StfFile) -> str:
    """What is wrong with the file in the exit buffer, judged without reading it; empty when nothing is."""
    try:
        size = Path(stf.file_url).stat().st_size
    except OSError as error:
        return f"{stf.file_url} cannot be read: {error.strerror}"
    if size != stf.size_bytes:
        return f"{stf.file_url} has {size} bytes, stf_gen said {stf.size_bytes}"
    return ""
