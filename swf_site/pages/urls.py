"""Addresses of the pages."""

from __future__ import annotations

from django.urls import path, register_converter

from .actions import CONTROLS, control, force, retry
from .agents import agents_page
from .home import home
from .run import run_page, run_parts
from .stfs import stfs_page


class ControlConverter:
    """One of the things a run can be told."""

    regex = "|".join(CONTROLS)

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


register_converter(ControlConverter, "control")

urlpatterns = [
    path("", home, name="home"),
    path("agents/", agents_page, name="agents"),
    path("runs/<int:run_number>/", run_page, name="run"),
    path("runs/<int:run_number>/parts/", run_parts, name="run-parts"),
    path("runs/<int:run_number>/stfs/", stfs_page, name="stfs"),
    path("runs/<int:run_number>/retry/", retry, name="retry"),
    path("runs/<int:run_number>/force-close/", force, name="force-close"),
    path("runs/<int:run_number>/<control:wish>/", control, name="control"),
]
