"""MNIST: its hashes and mirrors, and the places where it is looked for."""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from mnistcore.data.cache import VerifiedCache, file_stamps
from mnistcore.data.download import DownloadError, download
from mnistcore.data.folder import FILE_NAMES, Arrays, find_files, read_files
from mnistcore.data.idx import idx_sha256, read_idx
from mnistcore.data.raw import DataNotFoundError

_LONG_SECONDS = 1.0  # a download that fails sooner is simply tried again every time


@dataclass(frozen=True)
class Release:
    """A published data set; hashes are hexadecimal, in the order of `FILE_NAMES`."""

    name: str
    mirrors: tuple[str, ...]
    gz_sha256: tuple[str, ...]
    raw_sha256: tuple[str, ...]


MNIST = Release(
    name="mnist",
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist",
        "https://storage.googleapis.com/cvdf-datasets/mnist",
        "https://raw.githubusercontent.com/fgnt/mnist/master",
    ),
    gz_sha256=(
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    ),
    raw_sha256=(
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
)


class Found(NamedTuple):
    """A data set that was found.

    `source` says where, in words. `differs` is the first file that is not the release's, or None
    if all four are. `sha256` holds the hashes of the four raw files; it is empty if unknown.
    """

    arrays: Arrays
    source: str
    differs: Path | None = None
    sha256: tuple[str, ...] = ()


class MnistFinder:
    """Find a release in folders, in the cache and on its mirrors.

    Parameters
    ----------
    cache : Path
        The cache folder; the release is kept in a subfolder of its name.
    release : Release
    """

    def __init__(self, cache: Path, release: Release = MNIST) -> None:
        self.release = release
        self.cache = VerifiedCache(cache / release.name, release.raw_sha256)

    def in_folder(self, folder: Path) -> Found:
        """Read the four files of a folder, whatever data they hold.

        If the SHA-256 of the decompressed files are the release's, the data is mapped from the
        cache; other data is read as it is.

        Raises
        ------
        DataNotFoundError
            The folder does not exist, or a file is missing.
        IdxError
            A file is malformed, or the files do not match.
        """
        files = find_files(folder)
        verified = f"{folder} ({self.release.name}, verified by SHA-256)"
        if self.cache.knows(files):
            arrays = self.cache.load()
            if arrays is not None:
                return self._verified(arrays, verified)
        stamps = file_stamps(files)
        arrays = read_files(files)
        sums = tuple(map(idx_sha256, arrays))
        for file, ours, theirs in zip(files, sums, self.release.raw_sha256, strict=True):
            if ours != theirs:
                return Found(arrays, f"{folder} (not {self.release.name})", file, sums)
        arrays = self.cache.load() or self.cache.store(arrays) or arrays
        self.cache.note_copy(files, stamps)
        return self._verified(arrays, verified)

    def _verified(self, arrays: Arrays, source: str) -> Found:
        return Found(arrays, source, sha256=self.release.raw_sha256)

    def anywhere(self, mirrors: Sequence[str], *, insist: bool, progress: bool) -> Found:
        """Look in ``./data``, then in the cache, then download.

        Parameters
        ----------
        mirrors : sequence of str
        insist : bool
            Accept only the release: skip other data in ``./data``, and download even if that
            failed a few minutes ago.
        progress : bool
            Show a progress bar.

        Raises
        ------
        DataNotFoundError
            Nothing was found; the message lists what was tried.
        IdxError
            ``./data`` holds the four files, but one is malformed or they do not match.
        """
        tried = []
        try:
            found = self.in_folder(Path("data"))
            if found.differs is None or not insist:
                return found
            tried.append(f"./{found.differs}: is not the file of {self.release.name}")
        except DataNotFoundError as error:
            tried.append(f"./{error}".split(";")[0])
        arrays = self.cache.load()
        if arrays is not None:
            return self._verified(arrays, f"{self.cache.folder} (verified by SHA-256)")
        tried.append(f"{self.cache.folder}: no verified files")
        try:
            return self._downloaded(mirrors, insist=insist, progress=progress)
        except DownloadError as error:
            tried += [f"{mirror}: {reason}" for mirror, reason in error.failures.items()]
        raise DataNotFoundError(_not_found(tried, mirrors or self.release.mirrors))

    def _downloaded(self, mirrors: Sequence[str], *, insist: bool, progress: bool) -> Found:
        if not insist:
            self._give_up_if_just_failed()
        started = time.monotonic()
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            sha256 = {
                f"{name}.gz": sha256
                for name, sha256 in zip(FILE_NAMES, self.release.gz_sha256, strict=True)
            }
            smallest_first = dict(reversed(sha256.items()))  # find a dead mirror early
            try:
                download(smallest_first, mirrors, Path(folder), progress)
            except DownloadError as error:
                if time.monotonic() - started > _LONG_SECONDS:
                    self.cache.note_failed_download(error.failures)
                raise
            arrays = Arrays(*(read_idx(Path(folder, name)) for name in sha256))
        kept = self.cache.store(arrays)
        if kept is None:
            return self._verified(arrays, f"downloaded; {self.cache.folder} cannot be written")
        return self._verified(kept, f"downloaded to {self.cache.folder}")

    def _give_up_if_just_failed(self) -> None:
        """Raise without waiting if a download failed a few minutes ago."""
        recent = self.cache.failed_download()
        if recent is not None:
            age, failures = recent
            when = f"(tried {age / 60:.0f} min ago; --data mnist tries again now)"
            raise DownloadError({mirror: f"{why} {when}" for mirror, why in failures.items()})


def _not_found(tried: Sequence[str], mirrors: Sequence[str]) -> str:
    lines = "\n".join(f"  {line}" for line in tried)
    source = f", for example from {mirrors[0]}" if mirrors else ""
    return (
        f"MNIST was not found. Tried:\n{lines}\n"
        "To get MNIST, run again with a network, or put its four files "
        f"({', '.join(FILE_NAMES)}, raw or .gz{source}) into ./data or into "
        "any folder that --data-dir or $MNISTCORE_DATA_DIR names."
    )
