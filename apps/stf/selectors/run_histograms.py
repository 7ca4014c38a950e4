"""The histograms of a run, the sum of its windows, kept in memory: only windows that have grown are read again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from apps.runs.models import Run

from ..histograms import F64, QUANTITIES, Histograms, unpack
from ..models import HistogramWindow

# So many runs are kept in a process.
MOST_RUNS = 8
_ADC = next(row for row, quantity in enumerate(QUANTITIES) if quantity.key == "adc")


@dataclass(frozen=True)
class StripPoint:
    """A window of time in a strip chart. Both arrays have one number per detector, nan where there is none to tell."""

    begin_time: datetime
    seconds: float
    stf_count: int
    tf_count: int
    hits_per_tf: F64
    mean_adc: F64


@dataclass
class _Kept:
    """What is known of the windows of one run, by their keys."""

    total: Histograms = field(default_factory=Histograms.empty)
    updated: dict[int, datetime] = field(default_factory=dict)
    packed: dict[int, bytes] = field(default_factory=dict)
    points: dict[int, StripPoint] = field(default_factory=dict)


_kept: OrderedDict[int, _Kept] = OrderedDict()
_lock = threading.Lock()


def run_histograms(run: Run) -> Histograms:
    """The histograms of a run: the sum of its windows."""
    return _current(run).total


def strip_chart(run: Run) -> list[StripPoint]:
    """Hits per TF and mean ADC value of every detector, window by window, in the order of time."""
    return sorted(_current(run).points.values(), key=lambda point: point.begin_time)


def _current(run: Run) -> _Kept:
    """What is in the database now."""
    updated = dict(HistogramWindow.objects.filter(run=run).values_list("pk", "updated_at"))
    with _lock:
        kept = _kept.pop(run.pk, None)
        if kept is None or not kept.updated.keys() <= updated.keys():
            kept = _Kept()
        changed = [pk for pk, when in updated.items() if kept.updated.get(pk) != when]
        _kept[run.pk] = kept = _with(kept, changed) if changed else kept
        while len(_kept) > MOST_RUNS:
            _kept.popitem(last=False)
    return kept


def _with(kept: _Kept, changed: list[int]) -> _Kept:
    """As `kept`, these windows read anew. A new object: somebody may be reading the old one."""
    new = _Kept(kept.total, dict(kept.updated), dict(kept.packed), dict(kept.points))
    for window in HistogramWindow.objects.filter(pk__in=changed):
        packed = bytes(window.contents)
        histograms = unpack(packed)
        new.total = new.total + histograms
        if before := new.packed.get(window.pk):
            new.total = new.total - unpack(before)
        new.updated[window.pk], new.packed[window.pk] = window.updated_at, packed
        new.points[window.pk] = _point(window, histograms)
    return new


def _point(window: HistogramWindow, histograms: Histograms) -> StripPoint:
    with np.errstate(divide="ignore", invalid="ignore"):
        hits_per_tf: F64 = histograms.entries / np.float64(window.tf_count)
    return StripPoint(
        window.begin_time,
        window.seconds,
        window.stf_count,
        window.tf_count,
        hits_per_tf,
        histograms.means[_ADC],
    )
