"""What goes on, for any number of readers: each gets the latest event of every kind.

Nothing is queued for a reader, so that a slow one costs no memory, and delays nobody.
"""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import Any


class Event:
    """An event of a kind, which is encoded when the first reader wants it."""

    def __init__(self, number: int, kind: str, data: dict[str, Any]) -> None:
        self.number, self.kind, self._data = number, kind, data

    @cached_property
    def encoded(self) -> bytes:
        """The event as the stream has it."""
        return encode(self.kind, self._data, self.number)


def encode(kind: str, data: dict[str, Any], number: int) -> bytes:
    """Encode an event for a stream of server-sent events."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return f"id: {number}\nevent: {kind}\ndata: {text}\n\n".encode()


class Feed:
    """The latest event of each kind; written by any thread, read by the event loop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._latest: dict[str, Event] = {}
        self._readers: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()
        self.number = 0
        self.over = False

    def publish(self, kind: str, data: dict[str, Any], last: bool = False) -> None:
        """Replace the event of a kind; after the ``last`` one the feed is over."""
        with self._lock:
            self.number += 1
            self._latest[kind] = Event(self.number, kind, data)
            self.over = self.over or last
            readers = list(self._readers)
        _wake(readers)

    def close(self) -> None:
        """End the feed for its readers."""
        with self._lock:
            self.over = True
            readers = list(self._readers)
        _wake(readers)

    def after(self, number: int) -> list[Event]:
        """Return the events after one, in order."""
        with self._lock:
            events = [event for event in self._latest.values() if event.number > number]
        return sorted(events, key=lambda event: event.number)

    @contextmanager
    def reader(self) -> Iterator[asyncio.Event]:
        """Give an asyncio.Event that is set with each event of the feed."""
        entry = asyncio.get_running_loop(), asyncio.Event()
        with self._lock:
            self._readers.add(entry)
        try:
            yield entry[1]
        finally:
            with self._lock:
                self._readers.discard(entry)


def _wake(readers: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]]) -> None:
    for loop, changed in readers:
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(changed.set)
