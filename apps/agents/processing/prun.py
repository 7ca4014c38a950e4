"""Have `prun` build the parameters of a task. It changes directories, ends its process and talks: it runs in one of its own.

    python -m apps.agents.processing.prun ORDER ANSWER

ORDER is a JSON file with the directory that is to be the sandbox, and prun's arguments. ANSWER is made: `parameters`, or
why there are none, `away` (try again) or `refused`. Needs no Django.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from apps.runs.errors import RetryableError
from payloads.sandbox import REPOSITORY, copy_sandbox

from .panda import RefusedByPanda

PRUN_SECONDS = 90.0


def build_parameters(arguments: list[str]) -> dict[str, Any]:
    """The parameters of the task that prun makes of these arguments; the sandbox lies at PanDA then.

    Raises:
        RetryableError: PanDA is away, or prun did not end.
        RefusedByPanda: PanDA or prun refuses; the text says why.
    """
    with tempfile.TemporaryDirectory(prefix="swf-prun-") as name:
        directory = Path(name)
        sandbox, order, answer = directory / "sandbox", directory / "order.json", directory / "answer.json"
        sandbox.mkdir()
        copy_sandbox(sandbox)
        order.write_text(json.dumps({"sandbox": str(sandbox), "arguments": arguments}))
        output = _run([str(order), str(answer)])
        said = json.loads(answer.read_text()) if answer.exists() else {}
    if "away" in said:
        raise RetryableError(said["away"])
    if "parameters" not in said:
        raise RefusedByPanda(f"{said.get('refused', 'prun ended without an answer')}: {_tail(output)}")
    parameters: dict[str, Any] = said["parameters"]
    return parameters


def _run(arguments: list[str]) -> str:
    command = [sys.executable, "-m", __name__, *arguments]
    try:
        done = subprocess.run(
            command,
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=PRUN_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise RetryableError(f"prun has not ended in {PRUN_SECONDS:.0f} s") from error
    return done.stdout


def _tail(output: str) -> str:
    """The last lines of what it has said, in one."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return " ".join(lines[-5:])[-500:] or "it has said nothing"


def main(order: Path, answer: Path) -> None:
    """Carry out an order in this process, which is of no use afterwards."""
    said = json.loads(order.read_text())
    from pandaclient import PrunScript

    sys.argv = ["prun"]
    os.chdir(said["sandbox"])
    try:
        result = {"parameters": PrunScript.main(True, said["arguments"])}  # noqa: FBT003 - its signature
    except RetryableError as error:
        result = {"away": str(error)}
    except RefusedByPanda as error:
        result = {"refused": str(error)}
    except SystemExit as error:
        result = {"refused": f"prun ended with {error.code}"}
    answer.write_text(json.dumps(result))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
