"""Server-sent events: a feed on its way to a page."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from .feed import Feed, encode

MOST_STREAMS = 64
INTERVAL = 0.1  # seconds between two batches of events
HEARTBEAT = 15.0  # seconds; a comment that tells whether the client is still there

_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]


class Streams:
    """Makes streams, but not more at a time than :data:`MOST_STREAMS`."""

    def __init__(self) -> None:
        self.open = 0

    def of(
        self, request: Request, feed: Feed, snapshot: Callable[[], dict[str, Any]] | None = None
    ) -> Response:
        """Answer with the events of a feed, after a snapshot of what they have led to.

        A client that comes back for more after the last event gets 204, which tells EventSource
        not to come again.
        """
        if request.method == "HEAD":
            return Response(media_type="text/event-stream")
        if feed.over and request.headers.get("last-event-id") == str(feed.number):
            return Response(status_code=204)
        if self.open >= MOST_STREAMS:
            raise HTTPException(503, f"there are {MOST_STREAMS} readers already; try again later")
        return _Stream(self, feed, snapshot)


class _Stream(Response):
    def __init__(
        self, streams: Streams, feed: Feed, snapshot: Callable[[], dict[str, Any]] | None
    ) -> None:
        super().__init__()
        self._streams, self._feed, self._snapshot = streams, feed, snapshot

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        self._streams.open += 1
        gone = asyncio.ensure_future(_until_gone(receive))
        try:
            await self._send_events(send, gone)
        finally:
            self._streams.open -= 1
            gone.cancel()
        with suppress(OSError):
            await send({"type": "http.response.body", "body": b""})

    async def _send_events(self, send: Send, gone: "asyncio.Future[None]") -> None:
        async def write(content: bytes) -> None:
            await send({"type": "http.response.body", "body": content, "more_body": True})

        number, feed = 0, self._feed
        with feed.reader() as changed:
            if self._snapshot is not None:
                await write(encode("snapshot", self._snapshot(), 0))
            while not gone.done():
                changed.clear()
                over = feed.over
                if events := feed.after(number):
                    number = events[-1].number
                    await write(b"".join(event.encoded for event in events))
                if over:
                    return
                if not await _either(changed, gone):
                    await write(b": still here\n\n")
                await asyncio.wait([gone], timeout=INTERVAL)


async def _either(changed: asyncio.Event, gone: "asyncio.Future[None]") -> bool:
    """Wait until there is an event or the client has gone; False if it took too long."""
    waiter = asyncio.ensure_future(changed.wait())
    try:
        both: list[asyncio.Future[Any]] = [waiter, gone]
        first = asyncio.FIRST_COMPLETED
        done, _ = await asyncio.wait(both, timeout=HEARTBEAT, return_when=first)
        return bool(done)
    finally:
        waiter.cancel()


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
