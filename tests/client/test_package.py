"""The package can be installed nearly anywhere: an old Python, nothing but the standard library."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from services.base import REPOSITORY

CLIENT = REPOSITORY / "client"
MODULES = sorted(CLIENT.rglob("*.py"))


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_python_3_9_can_parse_it(module: Path) -> None:
    ast.parse(module.read_text(), feature_version=(3, 9))


def test_it_needs_the_standard_library_only() -> None:
    """`-S` leaves out what is installed."""
    code = f"import sys; sys.path.insert(0, {str(CLIENT)!r}); import swf_client; swf_client.Agent"
    subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True)


def test_the_example_is_short() -> None:
    assert len((CLIENT / "examples" / "agent.py").read_text().splitlines()) <= 35
