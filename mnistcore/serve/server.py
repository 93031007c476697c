"""Listening, and serving until a signal comes."""

import asyncio
import errno
import logging
import socket
import sys
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address

import uvicorn

from .application import Site, make_application
from .background import in_background
from .connections import Connection
from .guard import Guard

BACKLOG = 512
END_SECONDS = 0.5  # in the end, for requests that are being answered


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens; raise ValueError if that is not possible."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=BACKLOG)
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno == errno.EADDRINUSE:
            reason = "another program listens there; give another --port, or 0 for a free one"
        elif error.errno == errno.EACCES:
            reason = "only root may listen there; give a --port above 1023"
        elif isinstance(error, socket.gaierror):
            reason = "this is no address of this machine; give --host one, such as 127.0.0.1"
        elif error.errno == errno.EADDRNOTAVAIL:
            reason = "this machine does not have this address; give another --host"
        raise ValueError(f"{host}, port {port}: {reason}") from error


def address_of(host: str, port: int) -> str:
    """Return the page's address for a browser on this machine."""
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{shown}:{port}/"


def announce(site: Site, listening: socket.socket) -> None:
    """Say where the page is, and what it means if others can reach it."""
    host, port = site.config.host, listening.getsockname()[1]
    print(f"{address_of(host, port)} is the page; Ctrl-C ends it", flush=True)
    if not ip_address(listening.getsockname()[0]).is_loopback:
        print(
            f"it listens on {host}: whoever reaches this machine can use the page and train"
            " networks here, without a password or encryption",
            file=sys.stderr,
            flush=True,
        )


def serve(site: Site, listening: socket.socket) -> None:
    """Serve until SIGINT or SIGTERM, which then has its usual effect."""
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    logging.getLogger("asyncio").addFilter(_is_fault)
    make_server(site, listening).run([listening])


def _is_fault(record: logging.LogRecord) -> bool:
    """Whether a message of asyncio is none of the thousands about clients there is no room for."""
    return "socket.accept()" not in record.getMessage()


def make_server(site: Site, listening: socket.socket) -> "Server":
    """Return the server of a site."""
    config = uvicorn.Config(
        Guard(make_application(site), site.config.host),
        http=Connection,
        loop="asyncio",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=BACKLOG,
    )
    return Server(config, site, listening)


class Server(uvicorn.Server):
    """Opens the browser when it is ready, and ends at once, also with streams that go on."""

    def __init__(self, config: uvicorn.Config, site: Site, listening: socket.socket) -> None:
        super().__init__(config)
        self._site = site
        self._address = address_of(site.config.host, listening.getsockname()[1])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then open the browser, which may take its time."""
        await super().startup(sockets)
        if self._site.config.browser:
            in_background("browser", webbrowser.open, self._address)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close everything without waiting for anybody."""
        for server in self.servers:
            server.close()
        self._site.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        with _silent(logging.getLogger("uvicorn.error")):  # it reports each task
            for task in (tasks := list(self.server_state.tasks)):
                task.cancel()
            if tasks:
                await asyncio.wait(tasks, timeout=END_SECONDS)


@contextmanager
def _silent(logger: logging.Logger) -> Iterator[None]:
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)
