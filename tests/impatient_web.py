"""The web server, out of patience after three seconds with clients that do not read."""

from __future__ import annotations

from apps.runs.live import pace
from swf_site.web import CommandLine

if __name__ == "__main__":
    pace.PATIENCE_SECONDS = 3.0
    CommandLine.entrypoint()
