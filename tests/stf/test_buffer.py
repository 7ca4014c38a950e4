"""The exit buffer's copy: released after releasable, by the DAQ's word, and PostgreSQL lets nobody go round it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.runs.models import Run
from apps.stf import selectors, services
from apps.stf.models import StfFile
from tests.factories import a_running_run, an_stf, kinds, registered, verified
from tests.parallel import in_parallel

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("exit_buffer")]


def update(stf: StfFile, **fields: Any) -> None:
    """Go round the services."""
    with transaction.atomic():
        StfFile.objects.filter(pk=stf.pk).update(**fields)


def states(run: Run) -> list[str]:
    return list(run.stf_files.order_by("sequence").values_list("buffer", flat=True))


def test_what_is_releasable_is_released_once() -> None:
    run = a_running_run()
    [stf] = verified(an_stf(run))

    assert services.mark_released(run, [stf.pk]) == 1
    assert services.mark_released(run, [stf.pk]) == 0
    assert states(run) == ["released"]
    assert kinds(run, "stf_released") == ["stf_released"]


def test_what_is_held_is_not_released() -> None:
    run = a_running_run()
    those = [an_stf(run), *registered(an_stf(run, 2)), *verified(an_stf(run, 3), at=["E1_BNL"])]

    assert services.mark_released(run, [stf.pk for stf in those]) == 0
    assert states(run) == ["held", "held", "held"]


def test_a_run_releases_its_own_stfs_only() -> None:
    run, other = a_running_run(), a_running_run()
    [stf] = verified(an_stf(other))

    assert services.mark_released(run, [stf.pk]) == 0


def test_two_that_say_released_say_it_once(transactional_db: None) -> None:
    run = a_running_run()
    those = verified(*(an_stf(run, sequence) for sequence in (1, 2, 3)))
    ids = [stf.pk for stf in those]

    assert sorted(in_parallel(*[lambda: services.mark_released(run, ids)] * 3)) == [0, 0, 3]
    assert len(kinds(run, "stf_released")) == 3


def test_only_a_released_copy_is_withdrawn_and_once() -> None:
    run = a_running_run()
    released, releasable = verified(an_stf(run), an_stf(run, 2))
    services.mark_released(run, [released.pk])
    assert [stf.pk for stf in selectors.to_withdraw(limit=9)] == [released.pk]

    services.mark_withdrawn([released.pk, releasable.pk])
    assert list(run.stf_files.filter(withdrawn_at__isnull=False)) == [released]
    assert selectors.to_withdraw(limit=9) == []


NOW = timezone.now()


@pytest.mark.parametrize(
    ("fields", "constraint"),
    [
        ({"buffer": "lost"}, "stf_buffer_known"),
        ({"buffer": "released"}, "stf_releasable_only_when_registered"),
        ({"buffer": "released", "released_at": NOW}, "stf_releasable_only_when_registered"),
        ({"buffer": "releasable"}, "stf_releasable_only_when_registered"),
    ],
)
def test_postgresql_keeps_a_held_stf(fields: dict[str, Any], constraint: str) -> None:
    [stf] = registered(an_stf(a_running_run()))

    with pytest.raises(IntegrityError, match=constraint):
        update(stf, **fields)


def test_postgresql_lets_nothing_go_that_is_not_registered() -> None:
    stf = an_stf(a_running_run())

    with pytest.raises(IntegrityError, match="stf_releasable_only_when_registered"):
        update(stf, buffer="releasable", releasable_at=NOW)


@pytest.mark.parametrize("released_at", [None, NOW - timedelta(days=1)])
def test_postgresql_wants_to_know_when_it_was_released(released_at: Any) -> None:
    [stf] = verified(an_stf(a_running_run()))

    with pytest.raises(IntegrityError, match="stf_released_after_releasable"):
        update(stf, buffer="released", released_at=released_at)


def test_the_fill_of_the_buffer_is_what_is_not_released() -> None:
    run = a_running_run()
    those = verified(*(an_stf(run, sequence, content=bytes(100)) for sequence in (1, 2, 3)))
    services.mark_released(run, [those[0].pk])
    usage = selectors.buffer_usage(capacity_bytes=1000)

    assert (usage.held_bytes, usage.fill) == (200, 0.2)
    # In the last minute 300 bytes came and 100 went.
    assert usage.growth == pytest.approx(200 / 60)
    assert usage.hours_to_full == pytest.approx(800 / (200 / 60) / 3600)
