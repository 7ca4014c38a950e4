"""What keeps STFs from being processed: a site that is down, a brake. Rows say so; the agents do what follows from them."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from apps.runs import journal
from apps.runs.errors import DomainError, NotFound
from apps.runs.selectors import get_run

from ..models import Brake, ProcessingSite


def site_down(name: str, *, by: str, reason: str) -> ProcessingSite:
    """Give the site no more STFs, and take back those that wait there. Those that one site is enough for go to another.

    Raises:
        NotFound: no run has named this site.
        DomainError: without name or reason.
    """
    return _set_site(name, is_down=True, by=by, reason=reason)


def site_up(name: str, *, by: str, reason: str) -> ProcessingSite:
    """Let the site have its STFs again; those of its that still wait elsewhere come back.

    Raises:
        NotFound: no run has named this site.
        DomainError: without name or reason.
    """
    return _set_site(name, is_down=False, by=by, reason=reason)


@transaction.atomic
def brake_on(run_number: int | None, *, by: str, reason: str, cancel: bool = False) -> Brake:
    """Hold the processing of a run, or of all runs: no new task, no new job, what waits with PanDA is taken back.

    Args:
        run_number: None for all runs.
        cancel: running jobs are killed too. Said again with another `cancel`, it holds from then on.

    Raises:
        NotFound: no such run.
        DomainError: without name or reason.
    """
    _need(by, reason, "a brake")
    run = None if run_number is None else get_run(run_number)
    brake, is_new = Brake.objects.select_for_update().get_or_create(
        run=run, defaults={"cancel": cancel, "by": by, "reason": reason}
    )
    if not is_new and brake.is_on and brake.cancel == cancel:
        return brake
    brake.is_on, brake.cancel, brake.by, brake.reason = True, cancel, by, reason
    brake.since = timezone.now()
    brake.save()
    _record("brake_on", brake, by, {"reason": reason, "cancel": cancel})
    return brake


@transaction.atomic
def brake_off(run_number: int | None, *, by: str, reason: str) -> Brake:
    """Let processing go on. Other brakes stay: that of all runs does not end with that of a run.

    Raises:
        NotFound: no such run, or it has no brake.
        DomainError: without name or reason.
    """
    _need(by, reason, "releasing a brake")
    run = None if run_number is None else get_run(run_number)
    brake = Brake.objects.select_for_update().filter(run=run).first()
    if brake is None:
        raise NotFound(f"there is no brake {'for all runs' if run is None else f'on run {run_number}'}")
    if brake.is_on:
        brake.is_on, brake.by, brake.reason, brake.since = False, by, reason, timezone.now()
        brake.save()
        _record("brake_off", brake, by, {"reason": reason})
    return brake


@transaction.atomic
def _set_site(name: str, *, is_down: bool, by: str, reason: str) -> ProcessingSite:
    _need(by, reason, f"marking {name} {'down' if is_down else 'up'}")
    site = ProcessingSite.objects.select_for_update().filter(name=name).first()
    if site is None:
        known = ", ".join(ProcessingSite.objects.values_list("name", flat=True)) or "none yet"
        raise NotFound(f"there is no processing site {name!r}; there are: {known}")
    if site.is_down == is_down:
        return site
    site.is_down, site.down_reason = is_down, reason if is_down else ""
    site.changed_by, site.changed_at = by, timezone.now()
    site.save()
    with journal.on_behalf_of(by):
        journal.record(
            journal.Change("site_down" if is_down else "site_up", subject=name, payload={"reason": reason})
        )
    return site


def _need(by: str, reason: str, what: str) -> None:
    if not by.strip() or not reason.strip():
        raise DomainError(f"{what} needs a name (by) and a reason: both are shown to everybody")


def _record(kind: str, brake: Brake, by: str, payload: dict[str, object]) -> None:
    with journal.on_behalf_of(by):
        journal.record(journal.Change(kind, run=brake.run, payload=payload))
