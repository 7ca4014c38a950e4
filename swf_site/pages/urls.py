"""Addresses of the pages."""

from __future__ import annotations

from django.urls import path, register_converter

from apps.stf.choices import TaskCommand

from . import processing_actions as processing
from .actions import CONTROLS, backlog_policy, control, force, retry
from .agents import agents_page
from .fastmon import fastmon_csv, fastmon_json, fastmon_page
from .home import home
from .processing import processing_page
from .run import run_page, run_parts
from .stf import stf_page
from .stfs import stfs_page


class ControlConverter:
    """One of the things a run can be told."""

    regex = "|".join(CONTROLS)

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


class CommandConverter(ControlConverter):
    """One of the things a task can be told."""

    regex = "|".join(TaskCommand.values)


class SwitchConverter(ControlConverter):
    """What a brake can be."""

    regex = "on|off"


class SiteStateConverter(ControlConverter):
    """What a site can be."""

    regex = "down|up"


register_converter(ControlConverter, "control")
register_converter(CommandConverter, "command")
register_converter(SwitchConverter, "switch")
register_converter(SiteStateConverter, "site_state")

urlpatterns = [
    path("", home, name="home"),
    path("agents/", agents_page, name="agents"),
    path("processing/", processing_page, name="processing"),
    path("processing/brake/<switch:switch>/", processing.brake, name="brake-all"),
    path("processing/sites/<str:name>/<site_state:state>/", processing.site, name="site"),
    path("runs/<int:run_number>/", run_page, name="run"),
    path("runs/<int:run_number>/parts/", run_parts, name="run-parts"),
    path("runs/<int:run_number>/fastmon/", fastmon_page, name="fastmon"),
    path("runs/<int:run_number>/fastmon/data.json", fastmon_json, name="fastmon-json"),
    path("runs/<int:run_number>/fastmon/data.csv", fastmon_csv, name="fastmon-csv"),
    path("runs/<int:run_number>/fastmon/policy/", backlog_policy, name="backlog-policy"),
    path("runs/<int:run_number>/stfs/", stfs_page, name="stfs"),
    path("runs/<int:run_number>/stfs/<int:sequence>/", stf_page, name="stf"),
    path("runs/<int:run_number>/brake/<switch:switch>/", processing.brake, name="brake"),
    path("runs/<int:run_number>/policy/", processing.policy, name="policy"),
    path("runs/<int:run_number>/tasks/<command:wish>/", processing.command, name="command"),
    path("runs/<int:run_number>/retry/", retry, name="retry"),
    path("runs/<int:run_number>/force-close/", force, name="force-close"),
    path("runs/<int:run_number>/<control:wish>/", control, name="control"),
]
