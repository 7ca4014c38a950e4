"""The agents one by one, and the messages that nobody could handle."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from apps.agents.models import DeadLetter
from apps.runs.selectors import newest_position

from . import overview

LETTERS_SHOWN = 20


def agents_page(request: HttpRequest) -> HttpResponse:
    """`/agents/`."""
    context = {
        "position": newest_position(),
        "agents": overview.agents(),
        "dead_letters": overview.dead_letter_count(),
        "letters": DeadLetter.objects.all()[:LETTERS_SHOWN],
    }
    return render(request, "agents.html", context)
