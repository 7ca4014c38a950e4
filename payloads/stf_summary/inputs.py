"""The inputs: STF containers, and plain files of any format, of which a run may also consist."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from apps.stf.container.checksum import adler32_file
from apps.stf.container.format import MAGIC, ContainerError
from apps.stf.container.reader import StfReader
from payloads.stf_summary.analysis import Totals

ROOT_MAGIC = b"root"


def read_input(path: Path, totals: Totals, *, any_format: bool = False) -> dict[str, Any]:
    """What there is to say about one file, as JSON takes it; the hits of an STF are added to `totals`.

    Whatever is called `.stf` must be a container, unless `any_format` says that others use the name, too. Any other
    file without a container's first bytes is a plain one: of a ROOT file its trees and their entries are listed, of
    others only size and checksum.

    Raises:
        ContainerError: `NotAContainerError`, `TruncatedError`, `CorruptError`: an STF or a ROOT file is damaged.
        OSError: the file cannot be read.
    """
    common = {"file": path.name, "size_bytes": path.stat().st_size, "adler32": adler32_file(path)}
    with path.open("rb") as file:
        magic = file.read(len(MAGIC))
    if magic == MAGIC or (path.suffix == ".stf" and not any_format):
        return {**common, "format": "stf", **_read_stf(path, totals)}
    if magic.startswith(ROOT_MAGIC):
        return {**common, "format": "root", "trees": _trees(path)}
    return {**common, "format": "other"}


def _read_stf(path: Path, totals: Totals) -> dict[str, int]:
    hits, clusters = int(totals.hits.sum()), int(totals.clusters.sum())
    with StfReader(path, path.name) as stf:
        totals.add(stf)
        header = stf.header
    return {
        "run_number": header.run_number,
        "sequence": header.sequence,
        "tf_first": header.tf_first,
        "tf_count": header.tf_count,
        "hits": int(totals.hits.sum()) - hits,
        "clusters": int(totals.clusters.sum()) - clusters,
    }


def _trees(path: Path) -> dict[str, int]:
    """Name to number of entries, of the TTrees and RNTuples in a ROOT file."""
    import uproot

    try:
        with uproot.open(path) as file:
            kinds = file.classnames(cycle=False)
            names = [name for name, kind in kinds.items() if kind == "TTree" or kind.endswith("RNTuple")]
            return {name: int(file[name].num_entries) for name in names}
    except Exception as error:
        raise ContainerError(
            path.name, "trees", path.stat().st_size, f"not a whole ROOT file: {error}"
        ) from error
