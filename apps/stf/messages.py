"""The fields of an STF as messages carry them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from .models import StfFile


def stf_fields(stf: StfFile) -> dict[str, Any]:
    """What `stf_gen`, `stf_ready` and their followers say of the file itself. Times in ISO 8601, UTC."""
    return {
        "filename": stf.stf_filename,
        "sequence": stf.sequence,
        "file_url": stf.file_url,
        "size_bytes": stf.size_bytes,
        "checksum": stf.checksum,
        "tf_first": stf.tf_first,
        "tf_count": stf.tf_count,
        "state": stf.daq_state,
        "substate": stf.daq_substate,
        "start": _iso(stf.begin_time),
        "end": _iso(stf.end_time),
    }


def _iso(when: datetime | None) -> str | None:
    return when.isoformat() if when else None
