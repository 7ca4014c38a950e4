"""`python -m services`: run one engine in the foreground, ask whether it is ready, print how to reach it."""

from __future__ import annotations

import argparse
import shlex
import sys

from services.base import EngineError, default_home
from services.registry import CLASSES, compose_environment, engine

DESCRIPTION = f"""\
Engines are the servers that the testbed brings itself. Their state lies under SWF_HOME ({default_home()}).

  run NAME           prepare what is missing, then be the server, in the foreground
  ready NAME         exit 0 when it answers a real request; otherwise say why not and exit 1
  environment [NAME] shell lines that make this shell a client:  eval "$(python -m services environment)"
"""


def main(arguments: list[str] | None = None) -> int:
    """Obey the command line; the return value is the exit status."""
    names = [one.name for one in CLASSES]
    parser = argparse.ArgumentParser(
        prog="python -m services",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("verb", choices=["run", "ready", "environment"])
    parser.add_argument("name", nargs="?", choices=names, help="without it, `environment` means all in use")
    given = parser.parse_args(arguments)
    if given.name is None and given.verb != "environment":
        parser.error(f"which engine? one of {', '.join(names)}")
    try:
        return _obey(given.verb, given.name)
    except EngineError as error:
        sys.stderr.write(f"{given.name}: {error}\n")
        return 1


def _obey(verb: str, name: str | None) -> int:
    if verb == "environment":
        variables = engine(name).environment() if name else compose_environment()
        sys.stdout.writelines(f"export {key}={shlex.quote(value)}\n" for key, value in variables.items())
        return 0
    chosen = engine(str(name))
    if verb == "run":
        chosen.run()
    reason = chosen.ready()
    sys.stdout.write(f"{name}: {reason or 'ready'}\n")
    return 0 if reason is None else 1


if __name__ == "__main__":
    sys.exit(main())
