"""A task's parameters read: its datasets, the template of its jobs' parameters, and what fills it in."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MOST_PSEUDO_FILES = 10_000
MAX_ATTEMPT = 3
FILES_PER_JOB = 200
TRANSFORMATION = "https://pandaserver-doma.cern.ch/trf/user/runGen-00-00-02"
SAFE_NAME = re.compile(r"[A-Za-z0-9._-]{1,240}")


class BadTask(Exception):
    """The task cannot be carried out; the text, for its errorDialog, says why."""


@dataclass(frozen=True)
class Stream:
    """An output or log of the jobs: one dataset, and the template of its files' names."""

    type: str
    scope: str
    dataset: str
    container: str
    lfn: str


@dataclass(frozen=True)
class TaskPlan:
    """What the refiner makes of a task's parameters.

    Attributes:
        template: job parameters with `$JEDITASKID`, `${SN}`, `${SN/P}` and `${IN/T}`.
        dataset: scope and name of the input, None for a task without one.
        pfns: input files by address, or as many empty texts as there are jobs without an input.
        streams: outputs and logs.
    """

    template: str
    dataset: tuple[str, str] | None
    pfns: tuple[str, ...]
    streams: tuple[Stream, ...]


def plan(params: Mapping[str, Any]) -> TaskPlan:
    """Read a task's parameters.

    Raises:
        BadTask: they lack something or ask for what this server cannot do.
    """
    items = _items(params)
    dataset = _input(params, items)
    pfns = () if dataset else _pseudo(params)
    return TaskPlan(_template(params, items), dataset, pfns, _streams(params, items))


def files_per_job(params: Mapping[str, Any]) -> int:
    """How many files a job takes at most."""
    for name in ("nFilesPerJob", "nMaxFilesPerJob"):
        value = params.get(name)
        if isinstance(value, int) and value > 0:
            return value
    return FILES_PER_JOB


def max_attempt(params: Mapping[str, Any]) -> int:
    """How often a file is tried."""
    value = params.get("maxAttempt")
    return value if isinstance(value, int) and 0 < value <= 50 else MAX_ATTEMPT


def wanted(params: Mapping[str, Any], name: str) -> bool:
    """Whether a file of the input dataset is one of those that the task asks for."""
    for item in _items(params):
        if item.get("param_type") == "input":
            exclude, include = item.get("exclude"), item.get("include")
            if isinstance(exclude, str) and exclude and re.search(exclude, name):
                return False
            if isinstance(include, str) and include and not re.search(include, name):
                return False
    return True


def fill(template: str, task_id: int, serial: int, inputs: Sequence[str] = ()) -> str:
    """The template for one job: its serial number and its inputs, by name or address."""
    text = template.replace("$JEDITASKID", str(task_id))
    text = text.replace("${SN/P}", f"{serial:06d}").replace("${SN}", f"{serial:06d}")
    return text.replace("${IN/T}", str(list(inputs))).replace("${IN}", ",".join(inputs))


def pseudo_name(number: int, pfn: str) -> str:
    """The name under which an input without a catalogue is kept."""
    return f"{number:06d}:{posixpath.basename(pfn)}" if pfn else f"{number:06d}"


def scope_of(name: str) -> tuple[str, str]:
    """Scope and name of a dataset: what is before the colon, else the first part of the name, two after user or group."""
    bare = name.strip().rstrip("/")
    scope, colon, rest = bare.partition(":")
    if colon:
        return scope, rest
    parts = bare.split(".")
    return ".".join(parts[:2] if parts[0] in ("user", "group") else parts[:1]), bare


def _items(params: Mapping[str, Any]) -> list[dict[str, Any]]:
    items = params.get("jobParameters")
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise BadTask("jobParameters is missing or no list of objects")
    return items


def _template(params: Mapping[str, Any], items: Sequence[Mapping[str, Any]]) -> str:
    text, padded = "", False
    for item in items:
        if item.get("hidden") is not True:
            padded = item.get("padding") is not False
            text += str(item.get("value", "")) + (" " if padded else "")
    return (text[:-1] if padded else text).replace("${SURL}", str(params.get("sourceURL") or ""))


def _input(params: Mapping[str, Any], items: Sequence[Mapping[str, Any]]) -> tuple[str, str] | None:
    if params.get("noInput") is True:
        return None
    names = {str(item.get("dataset")) for item in items if item.get("param_type") == "input"}
    if len(names) != 1:
        raise BadTask(
            f"{len(names)} input datasets: this server takes one, or none with noInput"
            if names
            else "no input: neither a dataset in jobParameters nor noInput"
        )
    return scope_of(names.pop())


def _pseudo(params: Mapping[str, Any]) -> tuple[str, ...]:
    listed = params.get("pfnList")
    if isinstance(listed, list) and listed:
        return tuple(str(pfn) for pfn in listed)
    events, per_job = params.get("nEvents"), params.get("nEventsPerJob") or 1
    if isinstance(events, int) and isinstance(per_job, int) and events > 0 and per_job > 0:
        count = -(-events // per_job)
    elif isinstance(params.get("nFiles"), int):
        count = params["nFiles"]
    else:
        raise BadTask("a task without input needs pfnList, nFiles, or nEvents with nEventsPerJob")
    if not 0 < count <= MOST_PSEUDO_FILES:
        raise BadTask(f"{count} jobs asked for: must be 1 to {MOST_PSEUDO_FILES}")
    return ("",) * count


def _streams(params: Mapping[str, Any], items: Sequence[Mapping[str, Any]]) -> tuple[Stream, ...]:
    given = [item for item in items if item.get("param_type") == "output"]
    log = params.get("log")
    if isinstance(log, dict):
        given.append({**log, "param_type": "log"})
    streams = []
    for item in given:
        dataset, lfn = item.get("dataset"), item.get("value")
        if not isinstance(dataset, str) or not isinstance(lfn, str) or not dataset or "${SN" not in lfn:
            raise BadTask(f"output {lfn!r} lacks a dataset or a ${{SN}} in its name")
        if not SAFE_NAME.fullmatch(fill(lfn, 1, 1)):
            raise BadTask(f"output {lfn!r}: only letters, digits and ._- may be in a file's name")
        container = str(item.get("container") or dataset)
        streams.append(Stream(item["param_type"], *scope_of(dataset), container, lfn))
    return tuple(streams)
