"""Django's handler for a web process whose middleware and views are all synchronous: one thread does a request.

Django's own makes the whole of a request asynchronous, and then takes each middleware, the view and the rendering into a
thread one by one, of an executor that it starts for that request: twenty hops and a new thread, which cost more than the
work of most requests. Here a request is read by the event loop, done by one thread of a pool, and sent by the loop.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any, TypeVar

from django.core import signals
from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIHandler, get_script_prefix
from django.core.handlers.base import BaseHandler
from django.db import close_old_connections
from django.http import FileResponse, StreamingHttpResponse
from django.urls import set_script_prefix

# Fewer than the pool of the database has connections (settings.DATABASES): nobody waits for one while holding a thread.
THREADS = 16
Result = TypeVar("Result")


class OneThreadHandler(ASGIHandler):
    """The ASGI application. More requests at a time than there are threads wait for one.

    What a response streams is read piece by piece, as the client takes it, by whichever thread is free. So a slow client
    holds up no thread; and a stream may come out of a file, but not out of a query that is under way.
    """

    def __init__(self, *, threads: int = THREADS) -> None:
        # Django's own loads the middleware as asynchronous.
        BaseHandler.__init__(self)
        self.load_middleware()
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="request")

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Answer one request.

        A client that leaves meanwhile is noticed when the answer is sent: what a thread has begun cannot be ended.
        """
        try:
            body = await self.read_body(receive)
        except RequestAborted:
            return
        response = await self._in_thread(lambda: self._respond(scope, body))
        if not isinstance(response, StreamingHttpResponse):
            await self.send_response(response, send)
            return
        try:
            response.streaming_content = self._pieces(iter(response))
            await self.send_response(response, send)
        finally:
            await self._in_thread(response.close)

    def _respond(self, scope: dict[str, Any], body: Any) -> Any:
        """The response, all of it done but for what it streams. For a thread, which keeps no connection."""
        set_script_prefix(get_script_prefix(scope))
        signals.request_started.send(sender=self.__class__, scope=scope)
        request, refusal = self.create_request(scope, body)
        if request is None:
            body.close()
            response: Any = refusal
        else:
            # A body that comes in chunks has no length; who goes by it, as REST does, would take it for none.
            request.META.setdefault("CONTENT_LENGTH", str(_length(body)))
            response = self.get_response(request)
        response._handler_class = self.__class__  # whom Django names as the sender
        if isinstance(response, FileResponse):
            response.block_size = self.chunk_size
        if response.streaming:
            close_old_connections()
        else:
            # Its content stays.
            response.close()
        return response

    async def _pieces(self, content: Iterator[bytes]) -> AsyncIterator[bytes]:
        while (piece := await self._in_thread(lambda: _next(content))) is not None:
            yield piece

    async def _in_thread(self, do: Callable[[], Result]) -> Result:
        """What it returns or raises in a thread of the pool, with the context variables of the request."""
        context = contextvars.copy_context()
        return await asyncio.get_running_loop().run_in_executor(self._threads, context.run, do)


def _length(body: IO[bytes]) -> int:
    length = body.seek(0, os.SEEK_END)
    body.seek(0)
    return length


def _next(content: Iterator[bytes]) -> bytes | None:
    try:
        return next(content, None)
    finally:
        close_old_connections()
