"""The cache: verified once, never trusted after a change, never a reason to fail."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest

from mnistcore.data import cache as cache_module
from mnistcore.data.cache import VerifiedCache, file_stamps
from mnistcore.data.folder import FILE_NAMES
from mnistcore.data.idx import write_idx


@pytest.fixture
def cache(tmp_path, release):
    return VerifiedCache(tmp_path / "cache" / "shapes", release.raw_sha256)


@pytest.fixture
def hashed(monkeypatch):
    """Every array that is hashed from here on."""
    seen = []

    def counting(array, original=cache_module.idx_sha256):
        seen.append(array)
        return original(array)

    monkeypatch.setattr(cache_module, "idx_sha256", counting)
    return seen


def test_stored_data_comes_back_mapped(cache, arrays):
    assert cache.load() is None
    for loaded in (cache.store(arrays), cache.load()):
        for mapped, original in zip(loaded, arrays, strict=True):
            assert isinstance(mapped.base, np.memmap)
            assert not mapped.flags.writeable
            np.testing.assert_array_equal(mapped, original)


def test_files_are_hashed_once(cache, arrays, hashed, release):
    cache.store(arrays)
    assert len(hashed) == 4
    VerifiedCache(cache.folder, release.raw_sha256).load()
    assert len(hashed) == 4


@pytest.mark.parametrize(
    "note", [None, "", "[]", "{", '{"files": 3}', '{"files": null}', "[" * 100_000]
)
def test_without_a_usable_note_files_are_hashed_again(note, cache, arrays, hashed):
    cache.store(arrays)
    hashed.clear()
    path = cache.folder / "verified.json"
    path.unlink() if note is None else path.write_text(note)
    assert cache.load() is not None
    assert len(hashed) == 4
    assert cache.load() is not None
    assert len(hashed) == 4


def test_changed_file_is_not_trusted(cache, arrays):
    cache.store(arrays)
    path = cache.folder / FILE_NAMES[0]
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    before = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # as if it had not changed
    if sys.platform != "win32":  # where ctime is the time of creation
        assert cache.load() is None
    os.utime(path)
    assert cache.load() is None


@pytest.mark.parametrize("damage", [b"", b"\0\0\x08\x03", None])
def test_damaged_or_missing_file_is_no_data(damage, cache, arrays):
    cache.store(arrays)
    path = cache.folder / FILE_NAMES[2]
    path.unlink() if damage is None else path.write_bytes(damage)
    assert cache.load() is None
    assert cache.store(arrays) is not None  # and can be mended


def test_other_data_is_not_taken_for_verified(cache, arrays):
    other = arrays._replace(test_labels=arrays.test_labels[::-1])
    assert cache.store(other) is None


def test_copies_elsewhere_are_known_until_they_change(cache, make_folder):
    folder = make_folder("set")
    files = [folder / name for name in FILE_NAMES]
    assert not cache.knows(files)
    cache.note_copy(files, file_stamps(files))
    nowhere = [folder / "nowhere" / name for name in FILE_NAMES]
    cache.note_copy(nowhere, None)
    assert cache.knows(files)
    os.utime(files[3])
    assert not cache.knows(files)
    files[3].unlink()
    assert not cache.knows(files)
    assert not cache.knows(nowhere)


def test_failed_download_is_remembered_for_some_minutes(cache, monkeypatch):
    assert cache.failed_download() is None
    cache.note_failed_download({"http://a": "silent"})
    age, failures = cache.failed_download()
    assert 0 <= age < 5
    assert failures == {"http://a": "silent"}
    now = time.time()
    for later in (3600, -3600):  # a clock that was set back must not make it last
        monkeypatch.setattr(cache_module.time, "time", lambda later=later: now + later)
        assert cache.failed_download() is None


@pytest.mark.parametrize("content", ["", "{}", '{"time": "x", "failures": {}}', '{"time": 1}'])
def test_unusable_note_of_a_failure_is_ignored(content, cache):
    cache.folder.mkdir(parents=True)
    (cache.folder / "download-failed.json").write_text(content)
    assert cache.failed_download() is None


def test_cache_that_cannot_be_written_keeps_nothing(tmp_path, release, arrays):
    (tmp_path / "file").write_text("not a folder")
    cache = VerifiedCache(tmp_path / "file" / "shapes", release.raw_sha256)
    assert cache.load() is None
    assert cache.store(arrays) is None
    cache.note_failed_download({})
    cache.note_copy([tmp_path], file_stamps([tmp_path]))
    assert cache.failed_download() is None
    assert not cache.knows([tmp_path])
    assert (tmp_path / "file").read_text() == "not a folder"


def test_read_only_cache_is_read(cache, arrays, monkeypatch):
    for name, array in zip(FILE_NAMES, arrays, strict=True):
        cache.folder.mkdir(parents=True, exist_ok=True)
        write_idx(cache.folder / name, array)

    def refused(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("mnistcore.system.files.replacing", refused)
    assert cache.load() is not None


def test_processes_fill_the_cache_side_by_side(tmp_path, make_folder, release, cache):
    """Four processes store the same data over and over; each always has it, whole."""
    source = make_folder("set")
    program = f"""
import time
from pathlib import Path
from mnistcore.data.cache import VerifiedCache
from mnistcore.data.folder import find_files, read_files
from mnistcore.data.idx import idx_sha256

arrays = read_files(find_files(Path({str(source)!r})))
cache = VerifiedCache(Path({str(cache.folder)!r}), {release.raw_sha256!r})
print("ready", flush=True)
input()
for _ in range(10):
    stored = cache.store(arrays)
    assert stored is not None
    assert tuple(map(idx_sha256, stored)) == {release.raw_sha256!r}
    assert cache.load() is not None
"""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    command = [sys.executable, "-c", program]
    processes = [subprocess.Popen(command, **pipes, text=True) for _ in range(4)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        assert process.communicate(timeout=30) == ("", "")
        assert process.returncode == 0
    assert cache.load() is not None
    assert {path.name for path in cache.folder.iterdir()} == {*FILE_NAMES, "verified.json"}
