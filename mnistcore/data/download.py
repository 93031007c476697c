"""Download files with known hashes from the first mirror that delivers them."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

SILENCE_SECONDS = 3.0  # give up on a mirror that sends nothing for this long
GIVE_UP_SECONDS = 9.0  # for all mirrors together, when none sends anything
ROUNDS = 2
PAUSE_SECONDS = 0.5  # between the rounds
MAX_BYTES = 2**26
_CHUNK = 4096  # small, so that a slow connection shows progress within SILENCE_SECONDS

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
    """One file from one mirror, in a thread, as socket timeouts do not cover a hanging DNS lookup.

    It is also the progress bar that pooch updates: `total`, `update`, `reset`, `close`.
    """

    def __init__(self, url: str, sha256: str, path: Path, report: Report) -> None:
        self._url = url
        self.total = 0
        self._received = 0
        self.answered = False
        self._sha256 = sha256
        self._path = path
        self._report = report
        self._abandoned = False
        self._error: Exception | None = None

    def finish(self, patience: float) -> None:
        """Transfer the file; raise whatever went wrong.

        Parameters
        ----------
        patience : float
            Seconds to wait for the next bytes.

        Raises
        ------
        TimeoutError
            Nothing arrived for that long.
        """
        self._report(self._url, 0, 0)
        thread = threading.Thread(target=self._retrieve, args=(patience,), daemon=True)
        thread.start()
        before = -1
        try:
            while thread.is_alive():
                if self._received == before:
                    raise TimeoutError(f"silent for {patience:.1f} s after {before} bytes")
                before = self._received
                thread.join(patience)
        finally:
            self._abandoned = True
        if self._error is not None:
            raise self._error

    def _retrieve(self, timeout: float) -> None:
        import pooch
        import requests

        downloader = pooch.HTTPDownloader(
            progressbar=self,
            chunk_size=_CHUNK,
            timeout=timeout,
            headers={"Accept-Encoding": "identity"},  # the hash is that of the .gz itself
        )
        path, known_hash = self._path, f"sha256:{self._sha256}"
        try:
            pooch.retrieve(self._url, known_hash, path.name, path.parent, downloader=downloader)
        except Exception as error:
            self.answered |= isinstance(error, requests.HTTPError | ValueError)
            self._error = error

    def update(self, n_bytes: int) -> None:
        """Count received bytes; raise to end a transfer that was given up."""
        if self._abandoned:
            raise TimeoutError("given up")
        self.answered = True
        self._received += n_bytes
        if self._received > MAX_BYTES:
            raise ValueError(f"sends more than {MAX_BYTES} bytes")
        self._report(self._url, self._received, self.total)

    def reset(self) -> None:
        """Restart the count; pooch then reports the whole file at once."""
        self._received = 0

    def close(self) -> None:
        """Do nothing; pooch calls it."""


def _reason(error: Exception) -> str:
    """Say in a few words why a mirror did not deliver."""
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"answers {error.response.status_code} {error.response.reason}"
    if isinstance(error, ValueError):  # the hash differs, or the address is malformed
        return str(error).split(". ")[0]
    cause: BaseException = error
    while (deeper := cause.__cause__ or cause.__context__) is not None:
        cause = deeper
    return str(cause) or type(cause).__name__


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
