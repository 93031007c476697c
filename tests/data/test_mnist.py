"""Where a release is looked for, in which order, and what is said when it is nowhere."""

import subprocess
import sys

import numpy as np
import pytest

from mnistcore.data import mnist as mnist_module
from mnistcore.data.folder import FILE_NAMES
from mnistcore.data.idx import IdxError, write_idx
from mnistcore.data.mnist import MNIST, MnistFinder
from mnistcore.data.raw import DataNotFoundError

pytestmark = pytest.mark.usefixtures("clean_place")


@pytest.fixture
def finder(clean_place, release):
    return MnistFinder(clean_place / "cache", release)


def anywhere(finder, addresses=(), *, insist=False):
    return finder.anywhere(addresses, insist=insist, progress=False)


def assert_equal(found, arrays):
    for one, other in zip(found.arrays, arrays, strict=True):
        np.testing.assert_array_equal(one, other)


def is_mapped(found):
    return all(isinstance(array.base, np.memmap) for array in found.arrays)


@pytest.mark.parametrize("end", ["", ".gz"])
def test_release_is_recognised_however_it_is_compressed(
    end, finder, make_folder, arrays, monkeypatch
):
    folder = make_folder("somewhere", end)
    found = finder.in_folder(folder)
    assert found.differs is None
    assert is_mapped(found)
    assert str(folder) in found.source
    assert_equal(found, arrays)
    monkeypatch.setattr(mnist_module, "read_files", None)  # not read a second time
    again = finder.in_folder(folder)
    assert again.source == found.source
    assert is_mapped(again)
    assert_equal(again, arrays)


def test_other_data_is_taken_for_what_it_is(finder, make_folder, arrays):
    other = arrays._replace(test_images=arrays.test_images ^ 1)
    found = finder.in_folder(make_folder("other", **other._asdict()))
    assert found.differs is not None
    assert found.differs.name == FILE_NAMES[2]
    assert_equal(found, other)
    assert finder.cache.load() is None


def test_folder_that_changed_is_read_again(finder, make_folder, arrays):
    folder = make_folder("changing")
    finder.in_folder(folder)
    write_idx(folder / FILE_NAMES[3], arrays.test_labels[::-1])
    assert finder.in_folder(folder).differs == folder / FILE_NAMES[3]


def test_folder_is_read_if_the_cache_cannot_be_written(clean_place, release, make_folder, arrays):
    (clean_place / "file").write_text("")
    found = MnistFinder(clean_place / "file", release).in_folder(make_folder("set", ".gz"))
    assert found.differs is None
    assert_equal(found, arrays)


def test_data_folder_comes_first_then_the_cache_then_the_mirrors(
    finder, make_folder, mirrors, arrays
):
    address = [mirrors.url("good")]
    downloaded = anywhere(finder, address)
    assert is_mapped(downloaded)
    assert len(mirrors.requests) == 4
    assert downloaded.source == f"downloaded to {finder.cache.folder}"
    cached = anywhere(finder, address)
    assert is_mapped(cached)
    assert len(mirrors.requests) == 4
    assert cached.source.startswith(str(finder.cache.folder))
    make_folder("work/data", ".gz")
    local = anywhere(finder, address)
    assert local.source.startswith("data ")
    for found in (downloaded, cached, local):
        assert_equal(found, arrays)


def test_other_data_in_the_data_folder(finder, make_folder, arrays, mirrors):
    other = arrays._replace(test_images=arrays.test_images ^ 1)
    make_folder("work/data", **other._asdict())
    assert_equal(anywhere(finder, [mirrors.url("good")]), other)
    with pytest.raises(DataNotFoundError, match=r"\./data/t10k-images-idx3-ubyte: is not the"):
        anywhere(finder, insist=True)
    assert_equal(anywhere(finder, [mirrors.url("good")], insist=True), arrays)


def test_damaged_file_in_the_data_folder_is_not_passed_over(finder, make_folder, mirrors):
    folder = make_folder("work/data")
    (folder / FILE_NAMES[1]).write_bytes(b"\0\0")
    with pytest.raises(IdxError, match=FILE_NAMES[1]):
        anywhere(finder, [mirrors.url("good")])
    assert not mirrors.requests


def test_incomplete_data_folder_is_passed_over_and_told_of(finder, make_folder):
    (make_folder("work/data") / FILE_NAMES[1]).unlink()
    with pytest.raises(DataNotFoundError, match=rf"\n  \./data: lacks {FILE_NAMES[1]}"):
        anywhere(finder)


def test_failure_tells_all_that_was_tried_and_what_to_do(finder, mirrors):
    addresses = [mirrors.url("missing"), mirrors.url("wrong")]
    with pytest.raises(DataNotFoundError) as caught:
        anywhere(finder, addresses)
    first, *tried, advice = str(caught.value).splitlines()
    assert first == "MNIST was not found. Tried:"
    starts = ["./data: no such folder", f"{finder.cache.folder}: ", *addresses]
    assert len(tried) == len(starts)
    for line, start in zip(tried, starts, strict=True):
        assert line.startswith(f"  {start}")
    assert "404" in tried[2]
    assert "SHA256" in tried[3]
    for word in (*FILE_NAMES, "--data-dir", "$MNISTCORE_DATA_DIR", "./data", addresses[0]):
        assert word in advice


def test_download_without_a_cache_gives_the_data(clean_place, release, mirrors, arrays):
    (clean_place / "file").write_text("")
    finder = MnistFinder(clean_place / "file", release)
    found = anywhere(finder, [mirrors.url("good")])
    assert "cannot be written" in found.source
    assert_equal(found, arrays)


def test_long_failure_is_not_repeated_by_the_next_run(finder, mirrors, monkeypatch, arrays):
    monkeypatch.setattr(mnist_module, "_LONG_SECONDS", 0)
    with pytest.raises(DataNotFoundError):
        anywhere(finder, [mirrors.url("missing")])
    n_requests = len(mirrors.requests)
    with pytest.raises(DataNotFoundError, match=r"404 Not Found \(tried 0 min ago"):
        anywhere(finder, [mirrors.url("good")])
    assert len(mirrors.requests) == n_requests
    assert_equal(anywhere(finder, [mirrors.url("good")], insist=True), arrays)


def test_short_failure_is_not_remembered(finder, mirrors, arrays):
    with pytest.raises(DataNotFoundError):
        anywhere(finder, ["http://127.0.0.1:1"])
    assert_equal(anywhere(finder, [mirrors.url("good")]), arrays)


def test_two_processes_download_at_the_same_time(clean_place, release, mirrors):
    program = f"""
from pathlib import Path
from mnistcore.data.idx import idx_sha256
from mnistcore.data.mnist import MnistFinder, Release

release = {release!r}
finder = MnistFinder(Path({str(clean_place / "cache")!r}), release)
print("ready", flush=True)
input()
address = {mirrors.url("good")!r}
found = finder.anywhere([address], insist=False, progress=False)
assert tuple(map(idx_sha256, found.arrays)) == release.raw_sha256
"""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    command = [sys.executable, "-c", program]
    processes = [subprocess.Popen(command, **pipes, text=True) for _ in range(2)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        assert process.communicate(timeout=30) == ("", "")
        assert process.returncode == 0
    left = {path.name for path in (clean_place / "cache" / "shapes").iterdir()}
    assert left == {*FILE_NAMES, "verified.json"}


def test_mirrors_of_mnist_are_https():
    assert len(MNIST.mirrors) == 3
    assert all(mirror.startswith("https://") for mirror in MNIST.mirrors)
    for hashes in (MNIST.gz_sha256, MNIST.raw_sha256):
        assert len(set(hashes)) == 4
        assert {len(bytes.fromhex(each)) for each in hashes} == {32}
