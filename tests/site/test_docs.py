"""The documents are true of the code: paths, commands, variables, parameters and processes that they name exist."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from configparser import RawConfigParser
from pathlib import Path

import pytest
from django.core.management import get_commands

from apps.runs.workflow_parameters import SECTIONS
from services.base import REPOSITORY
from swf_site.cli.app import app

DOCUMENTS = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
OPERATIONS = REPOSITORY / "docs" / "operations.md"
ARCHITECTURE = REPOSITORY / "docs" / "architecture.md"

FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)#]+)[^)]*\)")
PATH = re.compile(r"\.?[\w-][\w./-]*")
FILE = re.compile(r"[\w-]+\.(?:py|toml|conf|md|sh|txt|in|svg|ya?ml)")
# The first parts of paths that are made at run time: in the state directory, and the environments.
MADE = {
    "compose",
    "postgres",
    "activemq",
    "rabbitmq",
    "rucio",
    "xrootd",
    "storage",
    "scratch",
    "log",
    "var",
    ".venv",
    ".venv-rucio",
}
VARIABLE = re.compile(r"\bSWF_[A-Z0-9_]+\b")
SOURCES = ("apps", "client", "services", "swf_site", "benchmarks", "swf-testbed", "setup.sh")


def _spans(document: Path) -> list[str]:
    """All inline code of a document."""
    return SPAN.findall(FENCE.sub("", document.read_text()))


def _blocks(document: Path, language: str) -> Iterator[str]:
    """The lines of all code blocks in a language, comments taken off."""
    for found, text in FENCE.findall(document.read_text()):
        if found == language:
            yield from (line.partition("#")[0].strip() for line in text.splitlines())


def _code(document: Path) -> list[str]:
    """Everything that a reader may type: inline code and the lines of shell blocks."""
    return [*_spans(document), *_blocks(document, "bash")]


def _paths(document: Path) -> Iterator[str]:
    """Inline code that names a file or directory of the repository."""
    for span in _spans(document):
        path = span.removeprefix("./")
        if FILE.fullmatch(path) or (
            "/" in path and PATH.fullmatch(path) and path.partition("/")[0] not in MADE
        ):
            yield path


def _said(pattern: str) -> set[str]:
    """What this pattern's group matches in the code of any document."""
    return {name for document in DOCUMENTS for text in _code(document) for name in re.findall(pattern, text)}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_paths_exist(document: Path) -> None:
    missing = [path for path in _paths(document) if not (REPOSITORY / path).exists()]
    assert not missing, f"{document.name} names what does not exist"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    targets = [target for target in LINK.findall(document.read_text()) if "://" not in target]
    assert not [target for target in targets if not (document.parent / target).exists()]


def test_the_tree_in_the_readme_is_there() -> None:
    lines = [line for line in _blocks(DOCUMENTS[0], "text") if line]
    named = [name for line in lines for name in re.split(r"\s{2,}", line)[0].split()]
    assert "apps/agents/" in named
    assert not [name for name in named if not (REPOSITORY / name).exists()]


def test_commands_of_the_launcher_are_those_it_has() -> None:
    named = _said(r"^(?:\./)?swf-testbed ([a-z][a-z-]*)")
    assert named == {command.name or command.callback.__name__ for command in app.registered_commands}  # type: ignore[union-attr]


def test_management_commands_exist_and_ours_are_explained() -> None:
    named = _said(r"(?:manage\.py|swf-testbed manage) ([a-z][a-z_]*)")
    commands = {**get_commands(), "help": "django.core"}
    assert named <= set(commands)
    assert {name for name, owner in commands.items() if str(owner).startswith("apps.")} <= named


def test_variables_are_those_that_the_code_reads() -> None:
    read: set[str] = set()
    for source in SOURCES:
        root = REPOSITORY / source
        for path in [root] if root.is_file() else root.rglob("*.py"):
            read.update(VARIABLE.findall(path.read_text()))
    explained = {name for span in _spans(OPERATIONS) for name in VARIABLE.findall(span)}
    assert explained == read
    named = {name for document in DOCUMENTS for text in _code(document) for name in VARIABLE.findall(text)}
    assert named <= read


def test_every_workflow_and_every_parameter_is_explained() -> None:
    spans = set(_spans(OPERATIONS))
    assert {path.stem for path in (REPOSITORY / "workflows").glob("*.toml")} <= spans
    assert {name for section, keys in SECTIONS.items() for name in (section, *keys)} <= spans


def test_every_process_is_explained() -> None:
    supervisor = RawConfigParser(inline_comment_prefixes=(";",))
    supervisor.read(REPOSITORY / "supervisord.conf")
    programs = {
        name.removeprefix("program:") for name in supervisor.sections() if name.startswith("program:")
    }
    rows = re.findall(r"^\| (`[^|]*`) \| .* \| .* \|$", ARCHITECTURE.read_text(), re.MULTILINE)
    assert programs <= {name for row in rows for name in SPAN.findall(row)}


def test_what_is_started_by_the_documents_may_be_started() -> None:
    for name in ("swf-testbed", "run_all_tests.sh", ".ci/run"):
        assert os.access(REPOSITORY / name, os.X_OK), f"{name} is not executable"
