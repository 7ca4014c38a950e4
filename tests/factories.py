"""Runs and STFs at every stage, made by the services alone: what stands in the database is what the system itself writes."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from typing import Any

from django.conf import settings
from django.utils import timezone

from apps.runs import services as runs
from apps.runs.core_states import Pair
from apps.runs.models import Run
from apps.runs.workflow import LoadedWorkflow, load_workflow
from apps.stf import services as stfs
from apps.stf.choices import ReplicaState
from apps.stf.models import Replica, StfFile
from apps.stf.services import GeneratedStf, ReplicaChange

SITES = ("E1_BNL", "E1_JLAB")
# From `off` to data taking.
TO_PHYSICS: tuple[Pair, ...] = (
    ("no_beam", "not_ready"),
    ("beam", "not_ready"),
    ("beam", "ready"),
    ("run", "physics"),
)
STANDBY: Pair = ("run", "standby")
# As fast as possible, three tiny STFs, no waiting for holes, and nothing processed unless a test wants it.
SMALL: dict[str, Any] = {
    "stf_count": 3,
    "size_bytes": 2_000,
    "tf_count": 2,
    "hole_wait_seconds": 0,
    "policy": "none",
}


def a_workflow(**overrides: Any) -> LoadedWorkflow:
    """`workflows/fast.toml` with a few tiny STFs; `overrides` by key name."""
    return load_workflow(settings.BASE_DIR / "workflows" / "fast.toml", SMALL | overrides)


def a_run(**overrides: Any) -> Run:
    """A requested run."""
    return runs.request_run(a_workflow(**overrides), namespace="test", requested_by="tester")


def a_running_run(**overrides: Any) -> Run:
    """A run that takes data."""
    run = a_run(**overrides)
    for pair in TO_PHYSICS:
        runs.advance(run.run_number, pair)
    run.refresh_from_db()
    return run


def ended(run: Run, *, count: int, **how: Any) -> Run:
    """The run after `end_run` with this count."""
    runs.end_run(run.run_number, total_stf_files=count, **how)
    run.refresh_from_db()
    return run


def generated(run: Run, sequence: int = 1, *, content: bytes | None = None, **changes: Any) -> GeneratedStf:
    """What the DAQ says of an STF whose bytes lie in the exit buffer."""
    content = f"STF {sequence} of run {run.run_number}".encode() if content is None else content
    name = f"swf.{run.run_number}.{sequence:06d}.stf"
    path = settings.SWF_E0_BUFFER / str(run.run_number) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    fields: dict[str, Any] = {
        "sequence": sequence,
        "stf_filename": name,
        "file_url": str(path),
        "size_bytes": len(content),
        "checksum": f"{zlib.adler32(content):08x}",
        "daq_state": "run",
        "daq_substate": "physics",
        "generated_at": timezone.now(),
    }
    return GeneratedStf(**fields | changes)


def an_stf(run: Run, sequence: int = 1, **changes: Any) -> StfFile:
    """An announced STF with its bytes in the exit buffer."""
    return stfs.record_generated(run.run_number, generated(run, sequence, **changes))


def registered(*those: StfFile) -> list[StfFile]:
    """The STFs, of one run, registered in its dataset."""
    run = those[0].run
    rses = run.parameters["replication"]["rses"]
    dataset = stfs.open_dataset(
        run,
        scope="group.daq",
        name=f"swf.{run.run_number}.run",
        rules={rse: f"rule-{run.run_number}-{rse}" for rse in rses},
    )
    stfs.mark_registered(dataset, [stf.pk for stf in those], rses=rses)
    return _fresh(those)


def verified(*those: StfFile, at: Sequence[str] = SITES) -> list[StfFile]:
    """The STFs, of one run, registered, with verified copies at these sites."""
    registered(*those)
    change_replicas(those, ReplicaState.VERIFIED, at=at)
    return _fresh(those)


def change_replicas(
    those: Iterable[StfFile], state: ReplicaState, *, at: Sequence[str] = SITES, reason: str = ""
) -> None:
    """What Rucio says of the copies of these STFs, of one run."""
    replicas = Replica.objects.filter(stf__in=those, rse__in=at).select_related("stf__run")
    changes = [ReplicaChange(replica.pk, state, reason) for replica in replicas]
    if changes:
        stfs.apply_replica_changes(replicas[0].stf.run, changes)


def kinds(run: Run, *only: str) -> list[str]:
    """The kinds of the run's journal entries in order, all or those named."""
    entries = run.journal.order_by("id").values_list("kind", flat=True)
    return [kind for kind in entries if not only or kind in only]


def _fresh(those: Iterable[StfFile]) -> list[StfFile]:
    return list(
        StfFile.objects.filter(pk__in=[stf.pk for stf in those])
        .select_related("run__execution")
        .order_by("sequence")
    )
