"""Who looks at pages, a web process to look at, and a state directory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from django.test import Client

from swf_site.cli.home import Home
from tests.engines import names_an_engine
from tests.people import a_user


@pytest.fixture
def shifter(client: Client) -> Client:
    """Somebody from the staff, logged in."""
    client.force_login(a_user("shifter", "operator"))
    return client


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A state directory in which nothing runs, with engines of its own unless the test names others."""
    for name in list(os.environ):
        if names_an_engine(name):
            monkeypatch.delenv(name)
    monkeypatch.setenv("SWF_HOME", str(tmp_path))
    return Home(tmp_path)
