"""`python -m benchmarks NAME [--json]`: measurements of the running testbed, or of one it starts itself."""

from __future__ import annotations

import sys
from importlib import import_module

BENCHMARKS = {
    "pipeline": "STF/s and latency per stage, from the exit buffer to verified copies at both sites",
    "bus": "tasks/s and latency on ActiveMQ, RabbitMQ and PostgreSQL; plain messages into the data agent",
    "api": "ms of lists and rows over REST with 1 k and 1 M STFs; STFs registered per second",
    "fastpath": "s from a closed STF to its histogram on the page; slices while workers are killed",
}

USAGE = "usage: python -m benchmarks NAME [options]   (python -m benchmarks NAME --help)\n\n" + "\n".join(
    f"  {name:12} {meaning}" for name, meaning in BENCHMARKS.items()
)


def main(arguments: list[str]) -> int:
    """Run the benchmark that is named."""
    if not arguments or arguments[0] not in BENCHMARKS:
        print(USAGE)
        return 0 if arguments in (["--help"], ["-h"]) else 2
    return int(import_module(f"benchmarks.{arguments[0]}").main(arguments[1:]))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
