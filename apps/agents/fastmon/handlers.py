"""What `stf_ready` means to the fastmon agent: a sample waits. The loop `sampler` does the work."""

from __future__ import annotations

from collections.abc import Sequence

from apps.runs.journal import Cause
from apps.stf import services

from ..bus import schemas


def stf_is_ready(message: schemas.StfReady) -> None:
    """An STF can be sampled, if its run wants that.

    Raises:
        NotFound: there is no such STF.
    """
    services.announce_samples([message.filename])


def stfs_are_ready(messages: Sequence[schemas.StfReady], _causes: Sequence[Cause]) -> None:
    """Several STFs can be sampled, of one or more runs.

    Raises:
        NotFound: as `stf_is_ready`, of any of them.
    """
    services.announce_samples([message.filename for message in messages])
