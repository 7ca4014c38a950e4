"""What operators may do with processing from the pages. Services do it; a refusal is shown on the page."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect

from apps.runs.errors import DomainError
from apps.stf import services
from apps.stf.choices import TaskCommand

from .access import action

Act = Callable[..., str]


def _action(act: Act) -> Callable[..., HttpResponse]:
    """A POST that says in words what it did, on the run's page or, without a run, on that of processing."""

    @action
    @wraps(act)
    def view(request: HttpRequest, **named: Any) -> HttpResponse:
        who, why = request.user.get_username(), request.POST.get("reason", "").strip()
        try:
            messages.success(request, act(request.POST, by=who, reason=why, **named))
        except DomainError as error:
            messages.error(request, str(error))
        if "run_number" in named:
            return redirect("run", run_number=named["run_number"])
        return redirect("processing")

    return view


@_action
def brake(form: QueryDict, *, by: str, reason: str, switch: str, run_number: int | None = None) -> str:
    """Hold processing, or let it go on: of a run, or of all runs."""
    where = "all runs" if run_number is None else f"run {run_number}"
    if switch == "off":
        services.brake_off(run_number, by=by, reason=reason)
        return f"The brake of {where} is off."
    held = services.brake_on(run_number, by=by, reason=reason, cancel="cancel" in form)
    jobs = "Running jobs are killed." if held.cancel else "Running jobs may end."
    return f"The brake of {where} is on. {jobs}"


@_action
def policy(form: QueryDict, *, by: str, reason: str, run_number: int) -> str:
    """Change where the STFs of a run are processed that are registered from now on."""
    box = services.set_policy(
        run_number,
        form.get("policy", ""),
        by=by,
        sites=_words(form.get("sites", "")) or None,
        rules=_words(form.get("rules", "")),
    )
    return f"The policy of run {run_number} is {box.policy}, for the STFs that are registered from now on."


@_action
def command(form: QueryDict, *, by: str, reason: str, run_number: int, wish: str) -> str:
    """Have PanDA kill, finish, retry or reload a task of a run."""
    task = services.request_command(run_number, form.get("site", ""), TaskCommand(wish), by=by, reason=reason)
    return f"PanDA will be asked to {wish} the task at {task.site}."


@_action
def site(form: QueryDict, *, by: str, reason: str, name: str, state: str) -> str:
    """Mark a site down or up."""
    if state == "down":
        services.site_down(name, by=by, reason=reason)
        return f"{name} is down: it is given no more STFs."
    services.site_up(name, by=by, reason=reason)
    return f"{name} is up."


def _words(text: str) -> list[str]:
    """What is between commas and spaces."""
    return text.replace(",", " ").split()
