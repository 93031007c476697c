"""A small published data set, and servers on this machine that mirror it well or badly."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from mirrors import Mirrors, gz_file

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


@pytest.fixture
def mirrors(arrays: Arrays) -> Iterator[Mirrors]:
    server = Mirrors(arrays)
    yield server
    server.close()
