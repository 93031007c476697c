"""Who may ask, and what browsers may do with the answers: an ASGI layer before the application.

A page of another site can make a browser send requests to this machine, and a name that changes
its address (DNS rebinding) can make such a page count as ours. So a request must name this server
in Host, by an address or as localhost, and come from its own page, if it comes from a page at all.
"""

import ipaddress
import secrets
from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .requests import error_response

HEADERS = {
    "content-security-policy": "default-src 'self'; img-src 'self' data: blob:; object-src 'none';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "geolocation=(), microphone=()",
}
_ENCODED = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
# Each server has its own value: "run-1" and "job-1" are other networks in another one.
SERVER = b"x-mnistcore-server"


class Guard:
    """Refuses requests under other names and from other pages; adds headers to every answer.

    Parameters
    ----------
    app
        The application behind it.
    host
        The name or address that the user gave to listen on.
    """

    def __init__(self, app: ASGIApp, host: str) -> None:
        self._app, self._host = app, host.lower()
        self._headers = [*_ENCODED, (SERVER, secrets.token_hex(8).encode())]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *self._headers]
            await send(message)

        refusal = self._refusal(scope)
        app = self._app if refusal is None else error_response(*refusal)
        await app(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        """Return the status and the reason to refuse a request, or None."""
        headers = Headers(scope=scope)
        host = headers.get("host", "").lower()
        if not self._names_us(host):
            return 421, "the request is for another host than this server"
        if _foreign(headers, host, scope["path"]):
            return 403, "the request comes from the page of another site"
        return None

    def _names_us(self, host: str) -> bool:
        """Whether a Host header is one that no other site can have."""
        name, _, port = host.rpartition(":") if host[-1:].isdecimal() else (host, "", "")
        if not name or "]" in port:  # there was no port, or the colon was within an address
            name = host
        if name in ("localhost", self._host):
            return True
        try:
            ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
        except ValueError:
            return False
        return True


def _foreign(headers: Mapping[str, str], host: str, path: str) -> bool:
    """Whether the page of another site makes a request; links to our page are welcome."""
    origin = headers.get("origin")
    if origin is not None and origin.lower() not in (f"http://{host}", f"https://{host}"):
        return True
    cross = headers.get("sec-fetch-site") in ("cross-site", "same-site")
    return cross and (path.startswith("/api/") or headers.get("sec-fetch-mode") != "navigate")
