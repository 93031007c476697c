"""Reading the server-sent events of a running server."""

import contextlib
import json


@contextlib.contextmanager
def stream(client, address, **headers):
    """The events of a stream, as pairs of a kind and its data."""
    with client.stream("GET", address, headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        yield events_of(answer.iter_lines())


def events_of(lines):
    kind = None
    for line in lines:
        if line.startswith("event: "):
            kind = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield kind, json.loads(line.removeprefix("data: "))
