"""What staff may do with a run from its page. Services do it; a refusal is shown on the page."""

from __future__ import annotations

from typing import get_args

from django.contrib import messages
from django.contrib.admin.views.decorators import staff_member_required
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from apps.runs.errors import DomainError
from apps.runs.services import Control, control_run
from apps.stf.services import force_close

CONTROLS: tuple[Control, ...] = get_args(Control)


@require_POST
@staff_member_required
def control(request: HttpRequest, run_number: int, wish: Control) -> HttpResponse:
    """Ask the DAQ to pause, resume, stop or abort."""
    try:
        control_run(run_number, wish, by=_who(request), reason=request.POST.get("reason", "").strip())
    except DomainError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, f"The DAQ has been asked to {wish} run {run_number}.")
    return redirect("run", run_number=run_number)


@require_POST
@staff_member_required
def force(request: HttpRequest, run_number: int) -> HttpResponse:
    """Close an incomplete run; the reason stays with it."""
    try:
        force_close(run_number, by=_who(request), reason=request.POST.get("reason", "").strip())
    except DomainError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, f"Run {run_number} has been closed by force.")
    return redirect("run", run_number=run_number)


def _who(request: HttpRequest) -> str:
    user = request.user
    return user.get_username() if isinstance(user, User) else ""
