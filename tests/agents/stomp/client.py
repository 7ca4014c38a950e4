"""The application as its clients use it, in a process of their own: settings come from the environment at import."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from .conftest import Worker


@contextmanager
def client(worker: Worker) -> Iterator[ModuleType]:
    """The module of the application, with the worker's settings; its connections are closed in the end."""
    before = dict(os.environ)
    os.environ.update(worker.environment)
    try:
        from tests.agents.stomp import app as module

        module = importlib.reload(module)
        yield module
    finally:
        module.app.close()
        os.environ.clear()
        os.environ.update(before)
