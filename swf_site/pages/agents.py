"""The agents one by one, and the messages that nobody could handle."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from apps.agents.selectors import open_letters
from apps.runs.selectors import newest_position

from . import overview

LETTERS_SHOWN = 20


def agents_page(request: HttpRequest) -> HttpResponse:
    """`/agents/`."""
    context = {
        "position": newest_position(),
        "agents": overview.agents(),
        "dead_letters": overview.dead_letter_count(),
        "letters": open_letters()[:LETTERS_SHOWN],
    }
    return render(request, "agents.html", context)
