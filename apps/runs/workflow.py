"""Load a workflow: TOML files with includes and overrides, checked into one typed, frozen object.

A workflow file has sections, one key deep. `[workflow] include = ["other.toml"]` reads other files first,
looked up beside the including file, in the order given. Then every key of the including file replaces the
same key of its includes, and overrides given by the caller replace both. Every key remembers the file it came
from, so an error points there:

    loaded = load_workflow(Path("workflows/demo.toml"), {"stf_count": 50, "stf.size_bytes": 20_000})
    loaded.parameters.daq_state_machine.stf_count   # 50
    loaded.parameters.model_dump()                  # the whole set, JSON-able: the record of the execution
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from apps.runs.workflow_parameters import DOTTED_BY_NAME, DOTTED_KEYS, SECTIONS, WorkflowParameters

__all__ = ["LoadedWorkflow", "Problem", "WorkflowError", "WorkflowParameters", "load_workflow"]

OVERRIDES = "overrides"
DEFAULTS = "daq_state_machine.toml"


@dataclass(frozen=True, slots=True)
class LoadedWorkflow:
    """A workflow as it will run, with the files it was made of (includes first) and their text."""

    name: str
    version: str
    sources: tuple[Path, ...]
    text: str
    parameters: WorkflowParameters


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong: where (a file or the overrides), the dotted key and its value if any, and why."""

    source: str
    why: str
    key: str = ""
    value: str = ""

    def __str__(self) -> str:
        key = f"{self.key} = {self.value}" if self.value else self.key
        return ": ".join(part for part in (self.source, key, self.why) if part)


class WorkflowError(ValueError):
    """A workflow cannot be used; one line per problem, all that were found."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


def load_workflow(path: Path, overrides: Mapping[str, Any] | None = None) -> LoadedWorkflow:
    """Read a workflow file with its includes, apply overrides, check everything.

    Args:
        path: the TOML file to start from.
        overrides: typed values by dotted key (`stf.size_bytes`) or by the key alone (`size_bytes`).

    Raises:
        WorkflowError: a file is missing, not TOML or includes itself; an unknown key; a value not allowed.
    """
    files = _Files()
    files.read(path)
    settings = files.settings | {
        DOTTED_BY_NAME.get(key, key): _Setting(value, OVERRIDES) for key, value in (overrides or {}).items()
    }
    parameters = _checked(settings, str(path))
    return LoadedWorkflow(
        name=parameters.workflow.name,
        version=parameters.workflow.version,
        sources=tuple(files.texts),
        text="\n".join(f"# {source.name}\n{text}" for source, text in files.texts.items()),
        parameters=parameters,
    )


@dataclass(frozen=True, slots=True)
class _Setting:
    value: Any
    source: str


@dataclass(slots=True)
class _Files:
    """What has been read so far: settings by dotted key, and texts in the order in which they take effect."""

    settings: dict[str, _Setting] = field(default_factory=dict)
    texts: dict[Path, str] = field(default_factory=dict)

    def read(self, path: Path, including: tuple[Path, ...] = ()) -> None:
        text, document = _parsed(path)
        for name in _taken_includes(path, document):
            chain = (*including, path)
            self.read(_included(name, chain), chain)
        self.texts[path] = text
        self.settings |= {key: _Setting(value, str(path)) for key, value in _flat(document)}


def _parsed(path: Path) -> tuple[str, dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8")
        return text, tomllib.loads(text)
    except OSError as error:
        raise WorkflowError(Problem(str(path), f"{error.strerror}{_beside(path)}")) from error
    except ValueError as error:
        raise WorkflowError(Problem(str(path), f"not valid TOML: {error}")) from error


def _taken_includes(path: Path, document: dict[str, Any]) -> list[str]:
    """Take `include` out of the document: it belongs to the file, not to the workflow."""
    workflow = document.get("workflow")
    includes = workflow.pop("include", []) if isinstance(workflow, dict) else []
    if isinstance(includes, list) and all(isinstance(name, str) for name in includes):
        return includes
    raise WorkflowError(
        Problem(str(path), "should be a list of file names", "workflow.include", repr(includes))
    )


def _included(name: str, chain: tuple[Path, ...]) -> Path:
    asking = chain[-1]
    path = asking.parent / name
    why = None
    if not path.is_file():
        why = f"no such file beside {asking.name}{_beside(path)}"
    elif path.resolve() in [source.resolve() for source in chain]:
        why = f"include loop: {' -> '.join(source.name for source in (*chain, path))}"
    if why:
        raise WorkflowError(Problem(str(asking), why, "workflow.include", repr(name)))
    return path


def _beside(path: Path) -> str:
    """What the reader may have meant: workflow files in the same directory, the nearest name first."""
    names = sorted(found.name for found in path.parent.glob("*.toml"))
    meant = difflib.get_close_matches(path.name, names, n=1)
    return (f"; did you mean {meant[0]!r}?" if meant else "") + (
        f" There are: {', '.join(names)}" if names else ""
    )


def _flat(document: dict[str, Any]) -> Iterable[tuple[str, Any]]:
    for section, body in document.items():
        if isinstance(body, dict) and (body or section in SECTIONS):
            yield from ((f"{section}.{key}", value) for key, value in body.items())
        else:
            yield section, body


def _checked(settings: Mapping[str, _Setting], main: str) -> WorkflowParameters:
    nested: dict[str, dict[str, Any]] = {}
    problems = []
    for key, setting in settings.items():
        if key in DOTTED_KEYS:
            section, _, name = key.partition(".")
            nested.setdefault(section, {})[name] = setting.value
        else:
            problems.append(Problem(setting.source, _why_unknown(key), key, repr(setting.value)))
    try:
        parameters = WorkflowParameters.model_validate(nested)
    except ValidationError as error:
        problems += [_refused(details, settings, main) for details in error.errors()]
        raise WorkflowError(*problems) from error
    if problems:
        raise WorkflowError(*problems)
    return parameters


def _why_unknown(key: str) -> str:
    section = key.partition(".")[0]
    if key in SECTIONS:
        return f"[{key}] is a section; its keys are {', '.join(SECTIONS[key])}"
    meant = _nearest(key)
    unknown = f"unknown key, did you mean {meant}?" if meant else "unknown key."
    if section in SECTIONS:
        return f"{unknown} [{section}] has {', '.join(SECTIONS[section])}"
    return f"{unknown} The sections are {', '.join(SECTIONS)}"


def _nearest(key: str) -> str | None:
    """The dotted key that was probably meant: the right name in the wrong section before a misspelled one."""
    section, _, name = key.rpartition(".")
    if name in DOTTED_BY_NAME:
        return DOTTED_BY_NAME[name]
    if section and (close := difflib.get_close_matches(key, DOTTED_KEYS, n=1)):
        return close[0]
    close = difflib.get_close_matches(name, DOTTED_BY_NAME, n=1)
    return DOTTED_BY_NAME[close[0]] if close else None


def _refused(details: ErrorDetails, settings: Mapping[str, _Setting], main: str) -> Problem:
    """Say one finding of pydantic in our words; a cross-check of a whole section has no value to show."""
    key = ".".join(str(part) for part in details["loc"][:2])
    setting = settings.get(key)
    if details["type"] == "missing":
        way_out = f'set it, or include "{DEFAULTS}"' if key.startswith("daq_state_machine") else "set it"
        return Problem(main, f"missing; {way_out}", key)
    cause = details.get("ctx", {}).get("error")
    why = str(cause) if cause else details["msg"].replace("Input should", "should")
    if setting is None:
        return Problem(main, why, key)
    return Problem(setting.source, why, key, repr(setting.value))
