"""The two results: histograms and a tree in a ROOT file, and a summary as JSON."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from payloads.stf_summary import VERSION
from payloads.stf_summary.analysis import DETECTOR_NAMES, GROUPS, RANGES, SPECTRUM_BINS, Totals


def write_root(path: Path, totals: Totals) -> None:
    """Write histograms `hits`, `clusters` (bin = number of the detector), `adc_<group>`, and the tree `tf`.

    Raises:
        OSError: the file cannot be written.
    """
    import uproot  # two thirds of the time of a small STF, and no use if that one is damaged

    detectors = np.arange(len(DETECTOR_NAMES) + 1, dtype=float)
    rows = totals.rows()
    with uproot.recreate(path, compression=None) as file:  # small, and quicker written than compressed
        file["hits"] = (totals.hits.astype(float), detectors)
        file["clusters"] = (totals.clusters.astype(float), detectors)
        for group, highest, spectrum in zip(GROUPS, RANGES, totals.spectra, strict=True):
            file[f"adc_{group}"] = (spectrum.astype(float), np.linspace(0.0, highest, SPECTRUM_BINS + 1))
        tree = file.mktree("tf", dict.fromkeys(rows, "int64"))
        if len(rows["tf"]):
            tree.extend(rows)


def write_summary(
    path: Path, totals: Totals, inputs: list[dict[str, Any]], *, read_seconds: float, begin: float
) -> None:
    """Write the summary; `begin` is the monotonic time at which the work began.

    Raises:
        OSError: the file cannot be written.
    """
    summary = {
        "payload": "stf_summary",
        "version": VERSION,
        "inputs": inputs,
        "hits": int(totals.hits.sum()),
        "clusters": int(totals.clusters.sum()),
        "hits_by_detector": dict(zip(DETECTOR_NAMES, totals.hits.tolist(), strict=True)),
        "clusters_by_detector": dict(zip(DETECTOR_NAMES, totals.clusters.tolist(), strict=True)),
        "seconds": {
            "read": round(read_seconds, 3),
            "total": round(time.monotonic() - begin, 3),
            "cpu": round(time.process_time(), 3),
        },
    }
    path.write_text(json.dumps(summary, indent=1) + "\n")
