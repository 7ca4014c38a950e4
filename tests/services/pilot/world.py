"""A pilot with a PanDA and a catalogue in memory around it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from services.panda.pilot.attempt import Settings
from services.panda.pilot.patience import Stop
from services.panda.pilot.pilot import Pilot
from tests.services.pilot.fakes import SITE, FakeCatalogue, FakePanda

CONTENT = b"an STF" * 100
OUTPUT, LOG = "user.swf.5._000007.out.txt", "user.swf.log.5.000007.log.tgz"


class World:
    """A pilot with everything around it."""

    def __init__(self, directory: Path) -> None:
        self.panda = FakePanda()
        self.catalogue = FakeCatalogue(directory / "storage")
        self.input = self.catalogue.add_input(CONTENT)
        self.settings = Settings(queue=SITE, node="here_1", label="test", parent=directory / SITE)
        self.stop = Stop()
        self.said: list[tuple[int | None, str | None]] = []

    @property
    def pilot(self) -> Pilot:
        return Pilot(
            self.settings, self.panda, self.catalogue, self.stop, lambda *said: self.said.append(said)
        )

    def do(self, job: dict[str, Any]) -> dict[str, Any]:
        """Have the job done; the last report."""
        self.panda.give_out(job)
        self.pilot.do(job)
        return self.panda.last

    def directories(self) -> list[str]:
        """Directories of jobs that are still there."""
        return [path.name for path in self.settings.parent.iterdir() if path.is_dir()]


def recover(world: World) -> None:
    """A new pilot comes, looks at what is left, and ends."""
    pilot = world.pilot
    pilot._acquire = lambda: world.stop.ask()  # type: ignore[method-assign]
    pilot.run()
    assert world.directories() == []
