"""Numbers and times as people read them."""

from __future__ import annotations

from datetime import datetime, timedelta

from django import template
from django.utils import timezone

from apps.stf.choices import COLOURS, FINAL_TASK
from apps.stf.models import Brake
from apps.stf.selectors.progress import global_brake

register = template.Library()

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


@register.filter
def size(number: float) -> str:
    """Bytes in decimal units with three digits: `1.87 MB`."""
    value, unit = float(number), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    digits = 0 if unit == 0 or value >= 99.95 else 1 if value >= 9.995 else 2
    return f"{value:.{digits}f} {_UNITS[unit]}"


@register.filter
def spelled(name: str) -> str:
    """`messages_of_other_namespaces` as words."""
    return name.replace("_", " ")


@register.filter
def grouped(number: int) -> str:
    """A count with thin spaces between thousands: `1 234 567`."""
    return f"{number:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


@register.filter
def since(when: datetime | None) -> str:
    """How long ago, in two units at most. `static/js/clock.js` goes on from there in the same words."""
    return lasting(timezone.now() - when) if when else ""


@register.filter
def until(begin: datetime | None, end: datetime | None) -> str:
    """The time between two moments; to now where there is no end yet."""
    return lasting((end or timezone.now()) - begin) if begin else ""


@register.filter
def per_cent(share: float) -> str:
    """A share of one: `0.6 %`."""
    return f"{share * 100:.1f} %" if share < 0.1 else f"{share * 100:.0f} %"


@register.filter
def spoken(hours: float) -> str:
    """Hours as a time: `3 h 12 min`."""
    return lasting(timedelta(hours=hours))


@register.filter("length_of_time")
def lasting(time: timedelta) -> str:
    """A length of time in two units at most: `42 s`, `3 min 5 s`, `2 h 10 min`, `4 d 3 h`."""
    seconds = max(0, int(time.total_seconds()))
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    if seconds < 86_400:
        return f"{seconds // 3600} h {seconds % 3600 // 60} min"
    return f"{seconds // 86_400} d {seconds % 86_400 // 3600} h"


@register.filter
def colour(state: str) -> str:
    """The colour token of a state of an STF or a replica."""
    return COLOURS[state]


@register.filter
def task_colour(status: str) -> str:
    """The colour token of a task in PanDA's word; "" is that of one that PanDA does not know yet."""
    if status in FINAL_TASK:
        return {"done": "green", "finished": "amber"}.get(status, "red")
    return "blue" if status else "grey"


@register.filter
def job_colour(status: str) -> str:
    """The colour token of a job in PanDA's word."""
    return {"finished": "green", "failed": "red", "cancelled": "amber", "closed": "amber"}.get(status, "blue")


@register.simple_tag
def brake_of_all_runs() -> Brake | None:
    """The brake of all runs while it is on, which every page shows; one query."""
    return global_brake()
