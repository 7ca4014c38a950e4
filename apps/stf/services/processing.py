"""Where STFs are to be processed: their rows, the input datasets of the sites, and the way from one site to another.

The data agent moves STFs in and out of the datasets and tells it here. It says so before it attaches and after it has
detached: an STF that may be in a dataset is never thought to be out of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q
from django.utils import timezone

from apps.runs import journal
from apps.runs.inserting import insert_all
from apps.runs.models import Run

from ..choices import Policy, ProcessingState
from ..models import DecisionBox, ProcessingJob, ProcessingSite, ProcessingTask, StfFile, StfProcessing
from .decision_box import ensure_box, processing_parameters, sites_of, standing_site


def input_name(run: Run, site: str) -> str:
    """The name of a site's input dataset of a run."""
    return f"run.{run.run_number}.{site}"


def create_processings(run: Run, stfs: Sequence[StfFile]) -> dict[int, list[StfProcessing]]:
    """Give freshly registered STFs their places of processing. Belongs into the transaction that registers them.

    Returns:
        The processings by the STF's id; an empty list where the policy names no site.
    """
    box = ensure_box(run)
    down = _down()
    made: dict[int, list[StfProcessing]] = {}
    for stf in stfs:
        chosen = sites_of(box, stf)
        may_move = len(chosen) == 1 and box.policy != Policy.BOTH
        made[stf.pk] = [
            StfProcessing(
                stf=stf,
                run=run,
                chosen_site=site,
                site=standing_site(site, box.sites, down) if may_move else site,
                may_move=may_move,
            )
            for site in chosen
        ]
    insert_all([processing for those in made.values() for processing in those])
    return made


@transaction.atomic
def open_input(run: Run, site: str, *, scope: str, name: str) -> ProcessingTask:
    """The site's input dataset is there in Rucio and open; its task is known from now on. Repeating it changes nothing."""
    out_ds = processing_parameters(run).out_ds.format(
        nickname=settings.PANDA_NICKNAME, run=run.run_number, site=site
    )
    task, is_new = ProcessingTask.objects.select_for_update().get_or_create(
        run=run,
        site=site,
        defaults={"input_scope": scope, "input_name": name, "task_name": f"{out_ds}/"},
    )
    if is_new or not task.is_open:
        task.is_open = True
        task.save(update_fields=["is_open"])
        journal.record(
            journal.Change("input_opened", run=run, subject=task.input_dataset, payload={"site": site})
        )
    return task


@transaction.atomic
def close_input(task: ProcessingTask) -> None:
    """The input dataset is closed in Rucio: PanDA ends the task when it has done what is in it."""
    if ProcessingTask.objects.filter(pk=task.pk, is_open=True).update(is_open=False):
        journal.record(
            journal.Change(
                "input_closed", run=task.run, subject=task.input_dataset, payload={"site": task.site}
            )
        )


def begin_attach(ids: Sequence[int]) -> None:
    """These are about to be attached. To be committed before Rucio is asked."""
    StfProcessing.objects.filter(pk__in=ids, attach_asked_at__isnull=True).update(
        attach_asked_at=timezone.now()
    )


def mark_attached(ids: Sequence[int]) -> int:
    """These are in their site's input dataset.

    Returns:
        How many were not known to be in it.
    """
    return StfProcessing.objects.filter(
        pk__in=ids, attach_asked_at__isnull=False, attached_at__isnull=True
    ).update(attached_at=timezone.now(), detached_at=None, cleared_at=None)


def mark_detached(ids: Sequence[int]) -> int:
    """These are in their site's input dataset no more.

    Returns:
        How many may have been in it.
    """
    return StfProcessing.objects.filter(pk__in=ids, attach_asked_at__isnull=False).update(
        attach_asked_at=None, attached_at=None, detached_at=timezone.now(), cleared_at=None
    )


def mark_cleared(ids: Sequence[int], *, before: datetime) -> int:
    """PanDA was seen to make no job of these any more, by questions asked after they were detached, at the latest at
    `before`.

    Returns:
        How many are free to go elsewhere now, once their open jobs have ended.
    """
    return StfProcessing.objects.filter(
        pk__in=ids, attach_asked_at__isnull=True, detached_at__lt=before, cleared_at__isnull=True
    ).update(cleared_at=timezone.now())


@transaction.atomic
def move_waiting() -> int:
    """Send waiting STFs whose site is down to one that is up, and those back whose chosen site is up again.

    Only what is in no dataset goes, what PanDA makes no job of any more, and what has no open job: so no STF is ever
    processed at two sites.

    Returns:
        How many have moved.
    """
    down = _down()
    open_jobs = ProcessingJob.objects.filter(processings=OuterRef("pk"), ended_at__isnull=True)
    free = list(
        StfProcessing.objects.select_for_update(of=("self",))
        .select_related("stf", "run")
        .filter(Q(site__in=down) | _astray(down), may_move=True, state=ProcessingState.WAITING)
        .filter(Q(detached_at__isnull=True) | Q(cleared_at__isnull=False), attach_asked_at__isnull=True)
        .exclude(Exists(open_jobs))
        .order_by("pk")
    )
    boxes = DecisionBox.objects.filter(run__in={processing.run_id for processing in free})
    sites: dict[int, list[str]] = dict(boxes.values_list("run_id", "sites"))
    moves = []
    for processing in free:
        target = standing_site(processing.chosen_site, sites[processing.run_id], down)
        if target != processing.site:
            moves.append(_move(processing, target))
    StfProcessing.objects.bulk_update(free, ["site", "detached_at", "cleared_at"])
    journal.record_many(moves)
    return len(moves)


def _move(processing: StfProcessing, target: str) -> journal.Change:
    before = processing.site
    processing.site, processing.detached_at, processing.cleared_at = target, None, None
    return journal.Change(
        "processing_moved",
        run=processing.run,
        subject=processing.stf.stf_filename,
        payload={"sequence": processing.stf.sequence, "before": before, "site": target},
    )


def _astray(down: set[str]) -> Q:
    """Away from a chosen site that is up."""
    return ~Q(site=F("chosen_site")) & ~Q(chosen_site__in=down)


def _down() -> set[str]:
    return set(ProcessingSite.objects.filter(is_down=True).values_list("name", flat=True))
