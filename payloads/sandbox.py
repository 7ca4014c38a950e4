"""Which files of the repository a payload needs beside it: the content of the sandbox that a task takes along."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
# All Python files of these folders, and of their parents only what makes them packages.
FOLDERS = ("payloads", "apps/stf/container")


def sandbox_files() -> list[Path]:
    """Paths relative to the repository, in order; about twenty small files."""
    return sorted(set(_files()))


def copy_sandbox(directory: Path) -> list[Path]:
    """Put these files into `directory`, an empty one, under the same relative paths; returns those paths.

    Raises:
        OSError: a file cannot be read or written.
    """
    files = sandbox_files()
    for file in files:
        target = directory / file
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(REPOSITORY / file, target)
    return files


def _files() -> Iterator[Path]:
    for folder in FOLDERS:
        for path in (REPOSITORY / folder).rglob("*.py"):
            yield path.relative_to(REPOSITORY)
        for parent in Path(folder).parents:
            if (REPOSITORY / parent / "__init__.py").exists():
                yield parent / "__init__.py"
