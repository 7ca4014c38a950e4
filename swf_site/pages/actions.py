"""What operators may do with a run from its page. Services do it; a refusal is shown on the page."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, get_args

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from apps.runs.errors import DomainError
from apps.runs.selectors import get_run
from apps.runs.services import Control, control_run
from apps.stf.services import force_close, retry_failed
from apps.stf.services.fast_control import set_backlog_policy

from .access import action

CONTROLS: tuple[Control, ...] = get_args(Control)


def _action(act: Callable[..., str]) -> Callable[..., HttpResponse]:
    """A POST that does something with a run and says in words what, on the run's page."""

    @action
    @wraps(act)
    def view(request: HttpRequest, run_number: int, **named: Any) -> HttpResponse:
        who, why = request.user.get_username(), request.POST.get("reason", "").strip()
        try:
            messages.success(request, act(run_number, by=who, reason=why, **named))
        except DomainError as error:
            messages.error(request, str(error))
        return redirect("run", run_number=run_number)

    return view


@action
def backlog_policy(request: HttpRequest, run_number: int) -> HttpResponse:
    """Have another policy decide what becomes of slices that are too many; back to the page of fast monitoring."""
    try:
        fast = set_backlog_policy(run_number, request.POST.get("policy", ""), by=request.user.get_username())
        messages.success(request, f"When there are too many slices: {fast.get_backlog_policy_display()}.")
    except DomainError as error:
        messages.error(request, str(error))
    return redirect("fastmon", run_number=run_number)


@_action
def control(run_number: int, *, by: str, reason: str, wish: Control) -> str:
    """Ask the DAQ to pause, resume, stop or abort."""
    control_run(run_number, wish, by=by, reason=reason)
    return f"The DAQ has been asked to {wish} run {run_number}."


@_action
def retry(run_number: int, *, by: str, reason: str) -> str:
    """Try failed registrations and copies again, once their cause is mended."""
    tried = retry_failed(get_run(run_number), by=by)
    return f"{tried} failed registrations and copies are tried again."


@_action
def force(run_number: int, *, by: str, reason: str) -> str:
    """Close an incomplete run; the reason stays with it."""
    force_close(run_number, by=by, reason=reason)
    return f"Run {run_number} has been closed by force."
