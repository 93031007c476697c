"""A small published data set, and servers on this machine that mirror it well or badly."""

import gzip
import hashlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from mnistcore.data.folder import FILE_NAMES, Arrays
from mnistcore.data.idx import idx_sha256, write_idx
from mnistcore.data.mnist import Release


@pytest.fixture
def clean_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder with a cache folder of its own and no data folder named."""
    monkeypatch.setenv("MNISTCORE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("MNISTCORE_DATA_DIR", raising=False)
    for proxy in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(proxy, raising=False)
    monkeypatch.setattr("mnistcore.data.download.PAUSE_SECONDS", 0.01)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path


@pytest.fixture(scope="session")
def arrays() -> Arrays:
    """A data set of 6 x 5 pixels in 4 classes, as in the files: labels are uint8."""
    rng = np.random.default_rng(0)
    train_labels = np.arange(3000) % 4
    test_labels = np.arange(40) % 4
    return Arrays(
        rng.integers(0, 256, (3000, 6, 5), np.uint8),
        train_labels.astype(np.uint8),
        rng.integers(0, 256, (40, 6, 5), np.uint8),
        test_labels.astype(np.uint8),
    )


@pytest.fixture
def make_folder(tmp_path: Path, arrays: Arrays) -> Callable[..., Path]:
    """Write the data set, or a changed one, into a new folder."""

    def make(name: str, end: str = "", **changed: np.ndarray) -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True)
        for file_name, array in zip(FILE_NAMES, arrays._replace(**changed), strict=True):
            write_idx(folder / f"{file_name}{end}", array)
        return folder

    return make


@pytest.fixture(scope="session")
def release(arrays: Arrays) -> Release:
    """The data set with its hashes, as if it had been published."""
    return Release(
        name="shapes",
        mirrors=(),
        gz_sha256=tuple(hashlib.sha256(gz_file(arrays, name)).hexdigest() for name in FILE_NAMES),
        raw_sha256=tuple(map(idx_sha256, arrays)),
    )


def gz_file(arrays: Arrays, name: str) -> bytes:
    """Return the bytes of one published file."""
    array = arrays[FILE_NAMES.index(name)]
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return gzip.compress(header + array.tobytes(), mtime=0)


class Mirrors:
    """A web server whose folders are mirrors of different manners.

    ``good`` delivers; ``missing`` answers 404; ``busy`` answers 503 to the first request for a
    file and then delivers; ``wrong`` delivers other bytes, ``short`` half of them, ``endless``
    ever more; ``silent`` never answers, ``late`` only on `hang_up`; ``stalled`` stops half-way;
    ``drip`` sends a byte now and then.
    """

    def __init__(self, arrays: Arrays) -> None:
        self.requests: list[str] = []
        self._arrays = arrays
        self._seen: Counter[str] = Counter()
        self._closing = threading.Event()
        self.delivered = threading.Event()
        mirrors = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                mirrors.requests.append(self.path)
                manner, name = self.path.strip("/").split("/")
                with suppress(ConnectionError):  # the client may give up
                    getattr(mirrors, f"_{manner}")(self, gz_file(mirrors._arrays, name[:-3]))

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def url(self, manner: str) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/{manner}"

    def hang_up(self) -> None:
        """End all answers that are under way."""
        self._closing.set()

    def close(self) -> None:
        self.hang_up()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _good(self, to: BaseHTTPRequestHandler, content: bytes) -> None:
        self._send(to, content, len(content))

    def _missing(self, to: BaseHTTPRequestHandler, content: bytes) -> None:
        to.send_error(404)

    def _busy(self, to: BaseHTTPRequestHandler, content: bytes) -> None:
        self._seen[to.path] += 1
        if self._seen[to.path] == 1:
            to.send_error(503)
        else:
            self._good(to, content)

    def _wrong(self, to: BaseHTTPRequestHandler, content: bytes) -> None:
        self._good(to, content[:-1] + bytes([content[-1] ^ 1]))

    def _short(self, to: BaseHTTPRequestHandler, content: bytes) -> None:
        self._send(to, content[: len(content) // 2], len(content))

    def _endless(self, to: BaseHTTPRequestHandler, content: bytes) -> None:
        self._send(to, b"", None)
        while not self._closing.is_set():
            to.wfile.write(bytes(2**20))

    def _silent(self, to: BaseHTTPRequestHandler, content: bytes) -> None:
        self._closing.wait(30)

    def _late(self, to: BaseHTTPRequestHandler, content: bytes) -> None:
        self._closing.wait(30)
        self._good(to, content)
        self.delivered.set()

    def _stalled(self, to: BaseHTTPRequestHandler, content: bytes) -> None:
        self._send(to, content[: len(content) // 2], len(content))
        self._closing.wait(30)

    def _drip(self, to: BaseHTTPRequestHandler, content: bytes) -> None:
        self._send(to, b"", len(content))
        for byte in content:
            to.wfile.write(bytes([byte]))
            if self._closing.wait(0.1):
                return

    @staticmethod
    def _send(to: BaseHTTPRequestHandler, content: bytes, length: int | None) -> None:
        to.send_response(200)
        if length is not None:
            to.send_header("Content-Length", str(length))
        to.end_headers()
        to.wfile.write(content)
        to.wfile.flush()


@pytest.fixture
def mirrors(arrays: Arrays) -> Iterator[Mirrors]:
    server = Mirrors(arrays)
    yield server
    server.close()
