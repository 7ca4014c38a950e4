"""The web server, out of patience after three seconds with clients that do not read."""

from __future__ import annotations

from swf_site import web

if __name__ == "__main__":
    web.PATIENCE_SECONDS = 3.0
    web.main()
