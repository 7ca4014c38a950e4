"""A DAQ of the existing swf system: what it puts on the bus for a run, field by field, and nothing of ours."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

STATES = {
    "run_imminent": ("beam", "not_ready"),
    "start_run": ("run", "physics"),
    "pause_run": ("run", "standby"),
    "resume_run": ("run", "physics"),
}


class ForeignDaq:
    """Says the messages of one run; `tick` counts as its simulation clock does."""

    def __init__(self, run_id: str, *, namespace: str, execution_id: str = "stf_datataking-ann-0049") -> None:
        self.run_id = run_id
        self._common = {"namespace": namespace, "execution_id": execution_id, "run_id": run_id}
        self._tick = 0.0

    def say(self, msg_type: str, **fields: Any) -> dict[str, Any]:
        """A message with the fields that all have."""
        self._tick += 0.1
        message = {"msg_type": msg_type, **self._common, **fields}
        if msg_type in STATES:
            message["state"], message["substate"] = STATES[msg_type]
        return message | {
            "timestamp": datetime.now().isoformat(),
            "simulation_tick": self._tick,
            "sender": "daq_simulator-agent-ann-12",
        }

    def stf_gen(self, sequence: int) -> dict[str, Any]:
        """The announcement of an STF: no path, no size, no checksum."""
        filename = f"swf.{self.run_id}.{sequence:06d}.stf"
        return self.say("stf_gen", filename=filename, sequence=sequence, state="run", substate="physics")

    def write(self, directory: Path, sequence: int, content: bytes) -> None:
        """The file that `stf_gen` of this sequence announces."""
        directory.mkdir(parents=True, exist_ok=True)
        (directory / f"swf.{self.run_id}.{sequence:06d}.stf").write_bytes(content)

    def whole_run(self, stf_count: int) -> list[dict[str, Any]]:
        """All messages of a run with one pause before its last STF."""
        stfs = [self.stf_gen(sequence) for sequence in range(1, stf_count + 1)]
        return [
            self.say("run_imminent", dataset=f"swf.{self.run_id}.run", container="data"),
            self.say("start_run"),
            *stfs[:-1],
            self.say("pause_run", reason="Brief standby period"),
            self.say("resume_run"),
            stfs[-1],
            self.say("end_run", total_stf_files=stf_count),
        ]
