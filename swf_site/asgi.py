"""The web process: pages and REST over HTTP, the live feed over WebSocket."""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "swf_site.settings")
http = get_asgi_application()  # sets Django up: what follows imports models

from channels.routing import ProtocolTypeRouter  # noqa: E402
from channels.security.websocket import AllowedHostsOriginValidator  # noqa: E402

from apps.runs.live.feed import feed  # noqa: E402
from apps.runs.live.routing import websocket_router  # noqa: E402
from swf_site.pages.fastmon import fastmon_digest  # noqa: E402
from swf_site.pages.run_state import live_content  # noqa: E402

feed.start()
websocket = AllowedHostsOriginValidator(
    websocket_router(feed=feed, content=live_content, digests=[fastmon_digest()])
)
application = ProtocolTypeRouter({"http": http, "websocket": websocket})
