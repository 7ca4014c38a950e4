"""What the tests of the data agent ask of a run, and its loops taking turns."""

from __future__ import annotations

from apps.agents.data.closer import Closer
from apps.agents.data.follower import Follower
from apps.agents.data.registrar import Registrar
from apps.runs.models import Run
from apps.stf.models import Replica
from tests.fakes.rucio import FakeRucio


def registrations(run: Run) -> list[tuple[str, str]]:
    """State and reason of every STF of the run."""
    return list(run.stf_files.order_by("sequence").values_list("registration", "registration_reason"))


def copies(run: Run) -> set[str]:
    return set(Replica.objects.filter(stf__run=run).values_list("state", flat=True))


def buffer(run: Run) -> list[str]:
    return list(run.stf_files.order_by("sequence").values_list("buffer", flat=True))


def lifecycle(run: Run) -> str:
    run.refresh_from_db()
    return run.lifecycle


def name_of(run: Run) -> str:
    return f"swf.{run.run_number}.run"


def settle(registrar: Registrar, rucio: FakeRucio, follower: Follower, closer: Closer) -> None:
    """Let every loop have its turn."""
    registrar.step()
    rucio.make_copies()
    follower.follow()
    closer.step()
