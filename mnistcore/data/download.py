"""Download files with known hashes from the first mirror that delivers them."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from mnistcore.system.errors import error_words
from mnistcore.system.files import naming
from mnistcore.system.text import one_line

if TYPE_CHECKING:
    import requests

SILENCE_SECONDS = 3.0  # give up on a mirror that sends less than a chunk in this time
GIVE_UP_SECONDS = 9.0  # for all mirrors together, when none sends anything
ROUNDS = 2
PAUSE_SECONDS = 0.5  # between the rounds
MAX_BYTES = 2**24  # the largest file of MNIST takes 9.9 MB
_CHUNK = 4096  # bytes; what the slowest connection that is waited for brings in SILENCE_SECONDS
_LONGEST_REASON = 300
THREAD = "mnistcore download"  # the name of the threads that wait for bytes

Report = Callable[[str, int, int], None]


class DownloadError(OSError):
    """No mirror delivered a file; `failures` holds the reason by mirror."""

    def __init__(self, failures: Mapping[str, str]) -> None:
        reasons = "; ".join(f"{mirror}: {reason}" for mirror, reason in failures.items())
        super().__init__(f"download failed: {reasons}")
        self.failures = dict(failures)


def download(
    files: Mapping[str, str], mirrors: Sequence[str], folder: Path, progress: bool = False
) -> list[Path]:
    """Download files into a folder, trying the mirrors in turn for each file.

    Parameters
    ----------
    files : mapping of str to str
        Hexadecimal SHA-256 by file name. A file with another hash is not kept.
    mirrors : sequence of str
        Addresses of the folders that hold the files. The mirror that delivered a file is tried
        first for the next one.
    folder : Path
        Existing folder for the files.
    progress : bool
        Show a progress bar on standard error.

    Returns
    -------
    list of Path
        The files, in the order of `files`.

    Raises
    ------
    DownloadError
        No mirror delivered one of the files. If none sends a byte, this is raised after at most
        ``GIVE_UP_SECONDS``.
    """
    import pooch

    pooch.get_logger().setLevel("ERROR")  # it would log every file
    mirrors = list(mirrors)
    with _progress_bar(progress) as report:
        for name, sha256 in files.items():
            good = _download_file(name, sha256, mirrors, folder, report)
            mirrors.remove(good)
            mirrors.insert(0, good)
    return [folder / name for name in files]


def _download_file(
    name: str, sha256: str, mirrors: Sequence[str], folder: Path, report: Report
) -> str:
    """Download one file; return the mirror that delivered it."""
    patience = min(SILENCE_SECONDS, GIVE_UP_SECONDS / max(len(mirrors), 1))
    failures: dict[str, str] = {}
    asked = list(mirrors)
    for round_ in range(ROUNDS):
        if round_:
            time.sleep(PAUSE_SECONDS)
        answering = []
        for mirror in asked:
            transfer = _Transfer(f"{mirror.rstrip('/')}/{name}", sha256, folder / name, report)
            try:
                transfer.finish(patience)
                return mirror
            except Exception as error:  # whatever went wrong, try the next mirror
                failures[mirror] = _reason(error)
            if transfer.answered:
                answering.append(mirror)
        asked = answering  # do not wait a second time for a silent mirror
        if not asked:
            break
    raise DownloadError(failures)


class _Transfer:
    """One file from one mirror, in a thread: a hanging DNS lookup has no timeout."""

    def __init__(self, url: str, sha256: str, path: Path, report: Report) -> None:
        self._url = url
        self._sha256 = sha256
        self._path = path
        self._report = report
        self._received = 0
        self._response: requests.Response | None = None
        self._abandoned = False
        self._error: Exception | None = None

    @property
    def answered(self) -> bool:
        """Whether the mirror has answered at all."""
        return self._response is not None

    def finish(self, patience: float) -> None:
        """Transfer the file; raise whatever went wrong.

        Parameters
        ----------
        patience : float
            Seconds to wait for the next ``_CHUNK`` bytes.

        Raises
        ------
        TimeoutError
            They did not arrive in time.
        """
        self._report(self._url, 0, 0)
        thread = threading.Thread(target=self._retrieve, args=(patience,), name=THREAD, daemon=True)
        thread.start()
        before = -_CHUNK
        try:
            while thread.is_alive():
                if (arrived := self._received - before) < _CHUNK:
                    what = f"only {arrived} bytes" if arrived else "silent"
                    raise TimeoutError(f"{what} for {patience:.1f} s after {before} bytes")
                before = self._received
                thread.join(patience)
        finally:
            self._abandoned = True
            self._hang_up()
        if self._error is not None:
            raise self._error

    def _hang_up(self) -> None:
        """End a transfer whose bytes still trickle in; its thread would wait for them."""
        if self._response is not None:
            with suppress(AttributeError, OSError, RuntimeError, ValueError):  # it has ended
                self._response.raw.shutdown()

    def _retrieve(self, timeout: float) -> None:
        import pooch

        def receive(url: str, path: str, _: object) -> None:
            with naming(self._path), open(path, "wb") as file:
                self._receive(url, timeout, file)

        path, known_hash = self._path, f"sha256:{self._sha256}"
        try:
            pooch.retrieve(self._url, known_hash, path.name, path.parent, downloader=receive)
        except Exception as error:
            self._error = error

    def _receive(self, url: str, timeout: float, file: BinaryIO) -> None:
        """Write to a file what the mirror sends, still packed: the hash is that of the .gz."""
        import requests

        headers = {"Accept-Encoding": "identity"}
        with requests.get(url, stream=True, timeout=timeout, headers=headers) as response:
            self._response = response
            if response.status_code != requests.codes.ok:
                raise requests.HTTPError(response=response)
            total = response.raw.length_remaining or 0
            for chunk in response.raw.stream(_CHUNK, decode_content=False):
                self._received += len(chunk)
                if self._abandoned:
                    raise TimeoutError("given up")
                if max(self._received, total) > MAX_BYTES:
                    raise ValueError(f"sends more than {MAX_BYTES} bytes")
                file.write(chunk)
                self._report(self._url, self._received, total)


def _reason(error: Exception) -> str:
    """Say in a few words why a mirror did not deliver."""
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        words = f"answers {error.response.status_code} {error.response.reason}"
    elif isinstance(error, ValueError):  # the hash differs, or the address is malformed
        words = str(error).split(". ")[0]
    elif isinstance(error, OSError) and error.filename:
        words = error_words(error)
    else:
        cause: BaseException = error
        while (deeper := cause.__cause__ or cause.__context__) is not None:
            cause = deeper
        words = str(cause) or type(cause).__name__
    return one_line(words, _LONGEST_REASON)


@contextmanager
def _progress_bar(shown: bool) -> Iterator[Report]:
    """Yield a function of address, bytes received and bytes in total (0 if unknown)."""
    if not shown:
        yield lambda url, received, total: None
        return
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TaskID,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    from mnistcore.system.console import Console

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=15),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        tasks: dict[str, TaskID] = {}
        asked: set[str] = set()

        def report(url: str, received: int, total: int) -> None:
            mirror, name = url.rsplit("/", 1)
            if mirror not in asked:
                asked.add(mirror)
                bar.console.print(f"Downloading from {mirror}", highlight=False)
            if name not in tasks:
                tasks[name] = bar.add_task(name)
            bar.update(tasks[name], completed=received, total=total or None)

        try:
            yield report
        finally:  # an unfinished bar would stay on the screen
            for task in bar.tasks:
                if not task.finished:
                    bar.remove_task(task.id)
