"""Pages as tests look at them."""

from __future__ import annotations

import re
from typing import Any

from django.test import Client

from apps.runs.models import Run


def text(page: Any) -> str:
    """The words of a page, in one line."""
    return " ".join(re.sub(r"<[^>]+>", " ", page.content.decode()).split())


def page_of(client: Client, run: Run) -> Any:
    """The page of a run."""
    return client.get(f"/runs/{run.run_number}/")


def post(client: Client, path: str, **form: str) -> Any:
    """The page that follows on a form that was sent."""
    return client.post(path, form, follow=True)
