"""Web servers on this machine that mirror a published data set well or badly."""

import gzip
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

from mnistcore.data.folder import FILE_NAMES, Arrays

PAGE = b"<!DOCTYPE html><title>Log in</title><p>Accept the terms of this network to go on."


def gz_file(arrays: Arrays, name: str) -> bytes:
    """Return the bytes of one published file."""
    array = arrays[FILE_NAMES.index(name)]
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return gzip.compress(header + array.tobytes(), mtime=0)


class Answer:
    """One request, to be answered with the content of a file, well or badly."""

    def __init__(self, to: BaseHTTPRequestHandler, content: bytes, closing: threading.Event):
        self.to, self.content, self.closing = to, content, closing

    def send(self, body: bytes = b"", length: object = None, status: int = 200, **headers: str):
        """Send a whole answer; its length is that of the body unless one is given, or ""."""
        self.to.send_response(status)
        length = len(body) if length is None else length
        if length != "":
            self.to.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.to.send_header(name.replace("_", "-"), value)
        self.to.end_headers()
        self.write(body)

    def write(self, data: bytes) -> None:
        self.to.wfile.write(data)
        self.to.wfile.flush()

    def write_for_ever(self, data: bytes, pause: float = 0.0) -> None:
        """Write the same again and again, until the server closes or the client hangs up."""
        while not self.closing.wait(pause) if pause else not self.closing.is_set():
            self.write(data)

    def reset(self) -> None:
        """End the connection as a machine does that has lost it."""
        self.to.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.to.connection.close()


def drip(answer: Answer) -> None:
    answer.send(length=len(answer.content))
    answer.write_for_ever(b"x", pause=0.1)


def drip_chunks(answer: Answer) -> None:
    answer.send(length="", Transfer_Encoding="chunked")
    answer.write_for_ever(b"1\r\nx\r\n", pause=0.1)


def endless_chunks(answer: Answer) -> None:
    answer.send(length="", Transfer_Encoding="chunked")
    answer.write_for_ever(b"10000\r\n" + bytes(0x10000) + b"\r\n")


def endless_chunk_size(answer: Answer) -> None:
    answer.send(length="", Transfer_Encoding="chunked")
    answer.write_for_ever(b"0" * 0x10000)


def damaged_chunks(answer: Answer) -> None:
    chunks = b"10\r\n" + answer.content[:16] + b"\r\nnumber\r\n"
    answer.send(chunks, "", Transfer_Encoding="chunked")


def endless(answer: Answer) -> None:
    answer.send(length="")
    answer.write_for_ever(bytes(0x10000))


def reset(answer: Answer) -> None:
    answer.send(answer.content[: len(answer.content) // 2], len(answer.content))
    answer.reset()


def stalled(answer: Answer) -> None:
    answer.send(answer.content[: len(answer.content) // 2], len(answer.content))
    answer.closing.wait(30)


def dripping_header(answer: Answer) -> None:
    answer.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
    answer.write_for_ever(b"x", pause=0.1)


def bomb(answer: Answer) -> None:
    """Some hundred bytes that become 16 MiB for a client that unpacks them."""
    body = gzip.compress(gzip.compress(bytes(2**24)))
    answer.send(body, Content_Encoding="gzip, gzip")


def to(status: int, address: str) -> Callable[[Answer], None]:
    """A redirection, relative to the folder of the manner."""
    return lambda answer: answer.send(PAGE, status=status, Location=address)


def raw(data: bytes, for_ever: bytes = b"") -> Callable[[Answer], None]:
    """Bytes in the place of an answer, perhaps endless ones."""

    def answer_raw(answer: Answer) -> None:
        answer.write(data)
        if for_ever:
            answer.write_for_ever(for_ever)

    return answer_raw


# What a server does, and a word of what a user is told, "" where there are several.
BAD: dict[str, tuple[Callable[[Answer], None], str]] = {
    "forbidden": (lambda answer: answer.to.send_error(403), "answers 403 Forbidden"),
    "missing": (lambda answer: answer.to.send_error(404), "answers 404 Not Found"),
    "unavailable": (lambda answer: answer.to.send_error(503), "answers 503 Service Unavailable"),
    "unmodified": (lambda answer: answer.send(length="", status=304), "answers 304 Not Modified"),
    "partial": (
        lambda answer: answer.send(answer.content[:50], status=206),
        "answers 206 Partial Content",
    ),
    "empty": (lambda answer: answer.send(), "SHA256"),
    "page": (lambda answer: answer.send(PAGE, Content_Type="text/html"), "SHA256"),
    "wrong": (lambda answer: answer.send(answer.content[:-1] + b"!"), "SHA256"),
    "short": (
        lambda answer: answer.send(answer.content[: len(answer.content) // 2], len(answer.content)),
        "Incomplete",
    ),
    "cut": (lambda answer: answer.send(answer.content, len(answer.content) - 9), "SHA256"),
    "too long": (
        lambda answer: answer.send(answer.content, len(answer.content) + 9),
        "Incomplete",
    ),
    "lying": (lambda answer: answer.send(answer.content, 10**30), "sends more than"),
    "reset": (reset, ""),
    "silent": (lambda answer: answer.closing.wait(30), ""),
    "stalled": (stalled, ""),
    "drip": (drip, "for"),
    "drip chunks": (drip_chunks, "only"),
    "endless": (endless, "sends more than"),
    "endless chunks": (endless_chunks, "sends more than"),
    "endless chunk size": (endless_chunk_size, ""),
    "damaged chunks": (damaged_chunks, ""),
    "endless header": (raw(b"HTTP/1.1 200 OK\r\n", b"X-Long: x\r\n"), ""),
    "endless line": (raw(b"HTTP/1.1 200 OK\r\nX-Long: ", b"x" * 0x10000), ""),
    "dripping header": (dripping_header, ""),
    "endless patience": (raw(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 99), ""),
    "bomb": (bomb, "SHA256"),
    "no answer": (raw(b"220 ftp.example.com ready\r\n"), ""),
    "garbage": (raw(bytes(range(256)) * 9), ""),
    "hung up": (raw(b""), ""),
    "loop": (to(302, "train-images-idx3-ubyte.gz"), "redirects"),
    "growing loop": (to(307, "x/train-images-idx3-ubyte.gz"), "redirects"),
    "file": (to(302, "file:///etc/hostname"), "file:"),
    "nowhere": (lambda answer: answer.send(PAGE, status=302), "answers 302"),
    "escape": (raw(b"HTTP/1.1 418 \x1b]0;mine\x07\r\n\r\n"), r"answers 418 \x1b]0;mine\x07"),
}


class Mirrors:
    """A web server whose folders are mirrors of different manners.

    Those of `BAD`, and: ``good`` delivers; ``busy`` answers 503 to the first request for a file and
    then delivers; ``moved`` sends to ``good``; ``labelled`` calls the compression one of the
    transfer; ``late`` delivers on `hang_up`.
    """

    def __init__(self, arrays: Arrays) -> None:
        self.requests: list[str] = []
        self._seen: Counter[str] = Counter()
        self._closing = threading.Event()
        self.delivered = threading.Event()
        manners = {name.replace(" ", "-"): act for name, (act, _) in BAD.items()} | {
            "good": lambda answer: self.good(answer),
            "busy": self._busy,
            "moved": lambda answer: answer.send(status=301, Location=f"/good/{answer.to.path[7:]}"),
            "labelled": lambda answer: answer.send(answer.content, Content_Encoding="gzip"),
            "late": self._late,
        }
        mirrors = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                mirrors.requests.append(self.path)
                _, manner, *_, name = self.path.split("/")
                content = gz_file(arrays, name[:-3])
                with suppress(ConnectionError):  # the client may give up
                    manners[manner](Answer(self, content, mirrors._closing))

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def url(self, manner: str) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/{manner.replace(' ', '-')}"

    def hang_up(self) -> None:
        """End all answers that are under way."""
        self._closing.set()

    def close(self) -> None:
        self.hang_up()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @staticmethod
    def good(answer: Answer) -> None:
        answer.send(answer.content)

    def _busy(self, answer: Answer) -> None:
        self._seen[answer.to.path] += 1
        if self._seen[answer.to.path] == 1:
            answer.to.send_error(503)
        else:
            answer.send(answer.content)

    def _late(self, answer: Answer) -> None:
        self._closing.wait(30)
        answer.send(answer.content)
        self.delivered.set()
