"""What keeps STFs from being processed: one rule for brakes, sites that are down, and STFs away from their site."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import F, Q, QuerySet

from ..choices import ProcessingState
from ..models import Brake, ProcessingSite, StfProcessing

# What a pilot has not begun can be taken back.
_WITH_NOBODY = (ProcessingState.WAITING, ProcessingState.QUEUED)


def brakes_on() -> QuerySet[Brake]:
    """The brakes that are on; that of all runs first."""
    return Brake.objects.filter(is_on=True).select_related("run").order_by(F("run").asc(nulls_first=True))


@dataclass(frozen=True)
class Holds:
    """What keeps STFs from their sites at this moment: sites that are down, and brakes by run (None for all runs)."""

    down: dict[str, ProcessingSite]
    brakes: dict[int | None, Brake]

    def brake_of(self, run_id: int) -> Brake | None:
        """The brake that holds this run, if one does."""
        return self.brakes.get(None) or self.brakes.get(run_id)

    def braked(self, *, cancel: bool = False) -> Q:
        """Of processings, those of runs that a brake holds; with `cancel`, one that kills running jobs too."""
        held = {run_id for run_id, brake in self.brakes.items() if brake.cancel or not cancel}
        return Q(pk__isnull=False) if None in held else Q(run__in=held)

    def held(self) -> Q:
        """Of processings, those that are not to be in their site's dataset now."""
        return self.braked() | Q(site__in=list(self.down)) | self.astray()

    def astray(self) -> Q:
        """Of processings, those that still wait at another site though their chosen one is up."""
        away = Q(may_move=True, state__in=_WITH_NOBODY) & ~Q(site=F("chosen_site"))
        return away & ~Q(chosen_site__in=list(self.down))


def holds() -> Holds:
    """What keeps STFs from their sites; two queries."""
    return Holds(
        {site.name: site for site in ProcessingSite.objects.filter(is_down=True)},
        {brake.run_id: brake for brake in Brake.objects.filter(is_on=True)},
    )


def is_allowed(processing: StfProcessing) -> bool:
    """Whether the STF may be in the input dataset of the site where it is: PanDA may make jobs of it."""
    return not StfProcessing.objects.filter(holds().held(), pk=processing.pk).exists()
