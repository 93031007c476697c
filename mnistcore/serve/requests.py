"""What handlers have in common: bounded bodies, work on threads, errors as one sentence."""

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from ..kernels.threads import available_cores
from .images import read_json

BODY_SECONDS = 20.0
MOST_OPTIONS = 2**16  # bytes of the options of a training or race
MOST_WAITING = 100  # requests that wait for a thread
NO_STORE = {"cache-control": "no-store"}

Result = TypeVar("Result")


class Json(JSONResponse):
    """An answer in JSON, which nobody keeps.

    In ASCII: names of files and classes may be no text of any encoding.
    """

    def __init__(
        self, content: Any, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(content, status, {**NO_STORE, **(headers or {})})

    def render(self, content: Any) -> bytes:
        return json.dumps(content, allow_nan=False).encode()


class Threads:
    """As many threads as there are cores, for work that would hold up the event loop."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(max(2, available_cores()))
        self._waiting = 0

    async def run(self, work: Callable[[], Result]) -> Result:
        """Return ``work()``; answer 503 if too many wait for that already."""
        if self._waiting >= MOST_WAITING:
            raise HTTPException(503, "the server is busy; try again in a moment")
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1
        try:
            return await run_in_threadpool(work)
        finally:
            self._free.release()


def announced_size(request: Request) -> int:
    """Return the bytes of a body that the head of a request announces; 0 if it does not say."""
    return int(request.headers.get("content-length", "0"))


async def body_of(request: Request, most: int) -> bytes:
    """Return the body of a request, of at most so many bytes.

    A longer one is read to its end, but not kept, so that the answer reaches its sender; only if
    it says how long it is, the answer comes at once.
    """
    too_large = HTTPException(413, f"the body is larger than {most // 2**10:,} KiB")
    body, size = bytearray(), 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            if announced_size(request) > most:
                raise too_large
            async for part in request.stream():
                size += len(part)
                if size <= most:
                    body += part
    except TimeoutError:
        raise HTTPException(
            408, f"the body took more than {BODY_SECONDS:.0f} seconds", {"connection": "close"}
        ) from None
    except ClientDisconnect:
        raise HTTPException(400, "the connection ended within the body") from None
    if size > most:
        raise too_large
    return bytes(body)


def kind_of(request: Request) -> str:
    """Return the media type of a body in lower case, without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def json_of(request: Request) -> dict[str, Any]:
    """Return the object in the JSON of a request."""
    if kind_of(request) != "application/json":
        raise HTTPException(415, "send JSON, as application/json")
    body = await body_of(request, MOST_OPTIONS)
    with bad_request():
        return read_json(body)


@contextmanager
def bad_request() -> Iterator[None]:
    """Answer 400 with the message of a ValueError or TypeError that the block raises."""
    try:
        yield
    except (ValueError, TypeError) as error:
        raise HTTPException(400, str(error)) from error


def no_error_page(request: Request, error: Exception) -> Response:
    """Answer an HTTPException in JSON: ``{"error": "a sentence"}``."""
    assert isinstance(error, HTTPException)
    words = {
        404: "there is nothing at this address",
        405: f"{request.method} is not possible here",
    }
    standard = {"Not Found", "Method Not Allowed"}
    detail = words[error.status_code] if error.detail in standard else error.detail
    return error_response(error.status_code, detail, error.headers)


def error_response(status: int, sentence: str, headers: Mapping[str, str] | None = None) -> Json:
    """Return an error as JSON."""
    return Json({"error": sentence}, status, headers)


def server_error(request: Request, error: Exception) -> Response:
    """Answer what only a bug can raise; its traceback goes to standard error."""
    closing = {"connection": "close"}  # uvicorn closes it
    return error_response(500, "the server failed; its terminal says more", closing)
