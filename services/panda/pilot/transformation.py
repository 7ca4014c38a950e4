"""The transformation `runGen`, by which prun's tasks run any command: its command line, understood here."""

from __future__ import annotations

import ast
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from services.panda.pilot.errors import Code, JobFailed

INPUT = "%IN"


@dataclass(frozen=True)
class Transformation:
    """What is to be run.

    Attributes:
        command: a line for the shell, its `%IN` already replaced.
        archive: name of the sandbox; None when there is none.
        source_url: the server whose `/cache/` has the sandbox.
        directory: where to run, relative to the sandbox.
        inputs: names of the input files.
        outputs: name that the command gives a file, to its name in the catalogue.
    """

    command: str
    archive: str | None
    source_url: str
    directory: str
    inputs: tuple[str, ...]
    outputs: Mapping[str, str]


def parse(parameters: str) -> Transformation:
    """Understand `jobPars`.

    Raises:
        JobFailed: an option is unknown or has no meaning; the text names it.
    """
    options = _options(parameters)
    inputs = _literal(options, "-i", list)
    outputs = _literal(options, "-o", dict)
    command = unquote(options["-p"])
    if not command.strip():
        raise JobFailed("option -p of the transformation is missing: there is no command to run", Code.SETUP)
    return Transformation(
        command=command.replace(INPUT, ",".join(inputs)),
        archive=options["-a"] or None,
        source_url=options["--sourceURL"].rstrip("/"),
        directory=options["-r"] or ".",
        inputs=tuple(inputs),
        outputs=outputs,
    )


def _options(parameters: str) -> dict[str, str]:
    # -j names files of a database release, of which there are none here.
    options = dict.fromkeys(("-j", "--sourceURL", "-r", "-a", "-o", "-i", "-p"), "")
    try:
        words = shlex.split(parameters)
    except ValueError as error:
        raise JobFailed(
            f"the transformation's parameters are no command line: {error}", Code.SETUP
        ) from error
    while words:
        name = words.pop(0)
        if name not in options:
            raise JobFailed(
                f"option {name} of the transformation is not known to this pilot; it knows {', '.join(options)}",
                Code.SETUP,
            )
        if not words:
            raise JobFailed(f"option {name} of the transformation has no value", Code.SETUP)
        options[name] = words.pop(0)
    return options


def _literal(options: Mapping[str, str], name: str, kind: type) -> Any:
    """The value of an option that is written in Python; an empty one when the option is absent."""
    if not options[name]:
        return kind()
    try:
        value = ast.literal_eval(options[name])
    except (ValueError, SyntaxError):
        value = None
    words = value.items() if isinstance(value, dict) else ((one, "") for one in value or ())
    if not isinstance(value, kind) or not all(isinstance(word, str) for pair in words for word in pair):
        raise JobFailed(f"option {name} of the transformation is no {kind.__name__} of texts", Code.SETUP)
    return value
