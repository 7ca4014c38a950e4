"""Everything that the web process serves, but for the thread that feeds streams and live pages: `swf_site.asgi`."""

from __future__ import annotations

import gc
import os
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "swf_site.settings")
django.setup(set_prefix=False)  # what follows imports models

from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from django.urls import path, re_path, reverse  # noqa: E402

from apps.agents.stream.endpoint import MessageStream  # noqa: E402
from apps.agents.stream.socket import MessageSocket  # noqa: E402
from apps.runs.live.feed import feed  # noqa: E402
from apps.runs.live.routing import websocket_router  # noqa: E402
from swf_site.handler import OneThreadHandler  # noqa: E402
from swf_site.pages.fastmon import fastmon_digest  # noqa: E402
from swf_site.pages.run_state import live_content  # noqa: E402
from swf_site.websocket import Readers  # noqa: E402

http = OneThreadHandler()
stream = MessageStream(feed=feed)
# The types of `path` know views only.
routes: list[Any] = [path("api/messages/stream/", stream), re_path("", http)]  # type: ignore[arg-type]
sockets: list[Any] = [
    path("ws/messages/", MessageSocket(stream)),  # type: ignore[arg-type]
    re_path("", websocket_router(feed=feed, content=live_content, digests=[fastmon_digest()])),  # type: ignore[arg-type]
]
websocket = Readers(URLRouter(sockets), feed=feed, narrowed=["/ws/messages/"])
# Django would load all routes with the first page or live frame that has a link, which would wait for it.
reverse("home")
# What is loaded by now stays. A collection looks at it for 0.07 s, during which nobody is answered.
gc.collect()
gc.freeze()
# A page of rows is tens of thousands of objects, none of them garbage before it is sent. Looking for some at every 700th,
# Python's default, takes a seventh of the slower pages' time.
gc.set_threshold(50_000, 20, 100)
application = ProtocolTypeRouter({"http": URLRouter(routes), "websocket": websocket})
