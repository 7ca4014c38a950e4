"""Histograms grow window by window, in the transaction that decides the samples in them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from django.utils import timezone

from apps.runs.models import Run

from ..fast_parameters import fastmon_parameters
from ..histograms import Histograms, unpack
from ..models import HistogramWindow

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# Run, when the STF began, how many TFs were read of it, and their histograms.
Contribution = tuple[Run, datetime, int, Histograms]


def add_to_windows(contributions: Iterable[Contribution]) -> None:
    """Add these STFs to the windows in which they began. Belongs into the transaction that decides their samples."""
    by_window: dict[tuple[int, datetime], list[Contribution]] = {}
    for one in contributions:
        run, begin, _, _ = one
        key = run.pk, window_begin(begin, fastmon_parameters(run).window_seconds)
        by_window.setdefault(key, []).append(one)
    # In one order everywhere: two that add to the same windows must not wait for each other.
    for (_, begin), those in sorted(by_window.items(), key=lambda item: item[0]):
        _grow(those[0][0], begin, those)


def window_begin(moment: datetime, seconds: float) -> datetime:
    """When the window of a moment began: windows follow each other from 1970 on, so everybody finds the same ones."""
    length = timedelta(seconds=seconds)
    return _EPOCH + (moment - _EPOCH) // length * length


def _grow(run: Run, begin: datetime, those: list[Contribution]) -> None:
    window, _ = HistogramWindow.objects.select_for_update().get_or_create(
        run=run,
        begin_time=begin,
        defaults={
            "seconds": fastmon_parameters(run).window_seconds,
            "contents": Histograms.empty().pack(),
        },
    )
    total = unpack(bytes(window.contents))
    for _, _, tf_count, histograms in those:
        total += histograms
        window.stf_count += 1
        window.tf_count += tf_count
    window.hits = total.hits
    window.contents = total.pack()
    window.updated_at = timezone.now()
    window.save(update_fields=["stf_count", "tf_count", "hits", "contents", "updated_at"])
