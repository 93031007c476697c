"""Connections with deadlines, and not too many of them.

uvicorn waits for ever for the head of a request, for the rest of its body, and for a client that
does not read; and it refuses new connections rather than close idle ones.
"""

import json
import socket
import time
from asyncio import TimerHandle, Transport
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

MOST = 256  # connections; beyond, idle ones are closed, first those that never asked
HEAD_SECONDS = 10.0  # for the head of a request
BODY_SECONDS = 30.0  # for its body; handlers give up before
REFUSED_SECONDS = 1.0  # for a client to read why it was refused
UNREAD_SECONDS = 20.0  # for a client to read what it was sent


class Connection(H11Protocol):
    """A connection to a client; see the text of this module."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._waiting: tuple[object, TimerHandle] | None = None
        self._unread: TimerHandle | None = None
        self._since = time.monotonic()
        self._refused = False

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Begin; make room first if there are too many connections."""
        super().connection_made(transport)
        # Without it a response waits 40 ms for the client's confirmation of its head.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if len(self.connections) > MOST:
            self._make_room()
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """End, with all deadlines."""
        self._stop_waiting()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on; begin or end the deadline of what is read."""
        if not self._refused:
            super().data_received(data)
            self._wait()

    def on_response_complete(self) -> None:
        """Go on to the next request, for which uvicorn waits five seconds."""
        self._since = time.monotonic()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """Give the client some time to read."""
        super().pause_writing()
        self._unread = self._unread or self.loop.call_later(UNREAD_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """The client has read."""
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP."""
        self._refuse(400, b"Bad Request", "this is not a valid request in HTTP/1.1")

    def _idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _make_room(self) -> None:
        ours = [one for one in self.connections if isinstance(one, Connection)]
        there = [one for one in ours if not one.transport.is_closing()]
        if len(there) > MOST:
            idle = [one for one in there if one._idle()]
            min(idle, key=Connection._worth, default=self).transport.abort()

    def _worth(self) -> tuple[bool, float]:
        """Return what is lower, the less it matters if an idle connection is closed."""
        return self.cycle is not None, self._since

    def _wait(self) -> None:
        """Let the head or the body that is being received have its time, and no more."""
        state = self.conn.their_state
        part = (state, None if state is h11.IDLE else self.cycle)
        if state not in (h11.IDLE, h11.SEND_BODY) or self._refused:
            self._stop_waiting()
        elif self._waiting is None or self._waiting[0] != part:
            self._stop_waiting()
            seconds = HEAD_SECONDS if state is h11.IDLE else BODY_SECONDS
            self._waiting = part, self.loop.call_later(seconds, self._give_up)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting[1].cancel()
            self._waiting = None

    def _give_up(self) -> None:
        if self._idle() and self.conn.our_state is h11.IDLE:
            self._refuse(408, b"Request Timeout", "the request took too long")
        else:
            self.transport.abort()

    def _refuse(self, status: int, reason: bytes, sentence: str) -> None:
        body = json.dumps({"error": sentence}).encode()
        head = b"HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nConnection: close\r\n"
        length = b"Content-Length: %d\r\n\r\n" % len(body)
        self.transport.write(head % (status, reason) + length + body)
        # What is still on its way would make the system forget the answer if this closed now.
        self._refused = True
        self.transport.write_eof()
        self.loop.call_later(REFUSED_SECONDS, self.transport.abort)
