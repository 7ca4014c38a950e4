"""The dataset of a run, as the data agent found or made it in Rucio."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from apps.runs import journal
from apps.runs.models import Run

from ..models import Dataset


def dataset_name(run: Run) -> str:
    """The name of a run's dataset, as the existing system has it."""
    return f"swf.{run.run_number}.run"


@transaction.atomic
def open_dataset(run: Run, *, scope: str, name: str, rules: dict[str, str]) -> Dataset:
    """The run's dataset is open in Rucio, with these rules (id by RSE). Repeating it changes nothing."""
    dataset, is_new = Dataset.objects.select_for_update().get_or_create(
        run=run, defaults={"scope": scope, "name": name, "rules": rules}
    )
    if is_new or not dataset.is_open or dataset.rules != rules:
        dataset.is_open, dataset.closed_at, dataset.rules = True, None, rules
        dataset.save()
        journal.record(
            journal.Change("dataset_opened", run=run, subject=dataset.did, payload={"rules": rules})
        )
    return dataset


@transaction.atomic
def close_dataset(dataset: Dataset) -> None:
    """The dataset is closed in Rucio: it takes no more files."""
    now = timezone.now()
    if Dataset.objects.filter(pk=dataset.pk, is_open=True).update(is_open=False, closed_at=now):
        journal.record(journal.Change("dataset_closed", run=dataset.run, subject=dataset.did))
