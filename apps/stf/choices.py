"""States of the facets of an STF: one owner each (see docs/architecture.md), with label and colour."""

from __future__ import annotations

from django.db import models


class Registration(models.TextChoices):
    """Owner: the data agent."""

    GENERATED = "generated", "Generated"
    REGISTERED = "registered", "Registered"
    FAILED = "failed", "Failed"


class ReplicaState(models.TextChoices):
    """Owner: the data agent."""

    REQUESTED = "requested", "Requested"
    TRANSFERRING = "transferring", "Transferring"
    VERIFIED = "verified", "Verified"
    FAILED = "failed", "Failed"


class BufferState(models.TextChoices):
    """The exit buffer's copy. The data agent says releasable; only the DAQ deletes, then says released."""

    HELD = "held", "Held"
    RELEASABLE = "releasable", "Releasable"
    RELEASED = "released", "Released"


COLOURS: dict[str, str] = {
    Registration.GENERATED: "grey",
    Registration.REGISTERED: "blue",
    ReplicaState.REQUESTED: "grey",
    ReplicaState.TRANSFERRING: "blue",
    ReplicaState.VERIFIED: "green",
    Registration.FAILED: "red",
    BufferState.HELD: "amber",
    BufferState.RELEASABLE: "blue",
    BufferState.RELEASED: "grey",
}
