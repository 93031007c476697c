"""Downloads from servers on this machine, good and bad."""

import errno
import io
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
from mirrors import BAD

from mnistcore.data import cache as cache_module
from mnistcore.data import download as download_module
from mnistcore.data.download import DownloadError, download
from mnistcore.data.folder import FILE_NAMES
from mnistcore.data.mnist import MnistFinder
from mnistcore.data.raw import DataNotFoundError

LABELS = "t10k-labels-idx1-ubyte.gz"
IMAGES = "train-images-idx3-ubyte.gz"  # 90 kB: stops half-way after some chunks

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("clean_place")]


@pytest.fixture
def files(release):
    """Hash by name of the four published files."""
    return {f"{name}.gz": sha for name, sha in zip(FILE_NAMES, release.gz_sha256, strict=True)}


@pytest.fixture
def short_patience(monkeypatch):
    monkeypatch.setattr(download_module, "SILENCE_SECONDS", 1.0)


def names_asked(mirrors, manner):
    return [path.rsplit("/", 1)[1] for path in mirrors.requests if path.startswith(f"/{manner}/")]


def test_good_mirror_delivers_all_files(mirrors, files, tmp_path):
    paths = download(files, [mirrors.url("good")], tmp_path)
    assert [path.name for path in paths] == list(files)
    assert all(path.is_file() and path.parent == tmp_path for path in paths)


@pytest.fixture
def finder(clean_place, release, monkeypatch):
    """Looks for the data set, with a cache and a folder for temporary files of its own."""
    (clean_place / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(clean_place / "temporary"))
    return MnistFinder(clean_place / "cache", release)


def found_by(finder, *addresses, progress=False):
    return finder.anywhere(addresses, insist=True, progress=progress)


def assert_right(found, arrays):
    for one, other in zip(found.arrays, arrays, strict=True):
        np.testing.assert_array_equal(one, other)


def nothing_goes_on(seconds=5.0):
    """Whether all transfers have ended, or do so in time."""
    deadline = time.monotonic() + seconds
    while any(thread.name == download_module.THREAD for thread in threading.enumerate()):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def in_cache(finder):
    folder = finder.cache.folder
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


CACHED = {*FILE_NAMES, "verified.json"}


# These send too little for as long as they are waited for; others need their time to be found out.
MUTE = ("silent", "stalled", "drip", "drip chunks", "dripping header")


@pytest.mark.parametrize("manner", BAD)
def test_bad_mirror_is_passed_over(manner, mirrors, finder, arrays, short_patience, monkeypatch):
    """It is told why in bounded time, nothing of it is kept, and the next mirror delivers."""
    monkeypatch.setattr(download_module, "MAX_BYTES", 2**20)
    if manner in MUTE:
        monkeypatch.setattr(download_module, "SILENCE_SECONDS", 0.4)
    bad, began = mirrors.url(manner), time.monotonic()
    with pytest.raises(DataNotFoundError) as caught:
        found_by(finder, bad, progress=True)
    assert time.monotonic() - began < 10
    told = str(caught.value).split(f"{bad}: ")[1].splitlines()[0]
    assert BAD[manner][1] in told
    assert 0 < len(told) < 400
    assert told.replace("\t", " ").isprintable()
    assert in_cache(finder) <= {"download-failed.json"}
    assert_right(found_by(finder, bad, mirrors.url("good")), arrays)
    assert in_cache(finder) - {"download-failed.json"} == CACHED
    mirrors.hang_up()
    assert nothing_goes_on()
    assert not os.listdir(tempfile.gettempdir())


@pytest.mark.parametrize("manner", ["moved", "labelled"])
def test_unusual_mirror_delivers(manner, mirrors, finder, arrays):
    assert_right(found_by(finder, mirrors.url(manner)), arrays)
    assert in_cache(finder) == CACHED


def test_interrupted_download_ends_at_once_and_the_next_one_delivers(
    mirrors, finder, arrays, monkeypatch
):
    """Although its mirror goes on to send a byte now and then."""
    join = threading.Thread.join

    def interrupted(thread, timeout=None):
        join(thread, min(timeout, 0.2))
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "join", interrupted)
        with pytest.raises(KeyboardInterrupt):
            found_by(finder, mirrors.url("drip"))
    assert nothing_goes_on()
    assert not os.listdir(tempfile.gettempdir())
    assert_right(found_by(finder, mirrors.url("good")), arrays)


MOMENTS = [("shutil.move", 1), ("shutil.move", 4), *(("os.replace", n) for n in range(1, 6))]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forks")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_killed_again_and_again(mirrors, finder, arrays):
    """When a file has come, and before each is put into the cache."""
    for function, number in MOMENTS:
        if (child := os.fork()) == 0:
            try:
                _die_at_call(function, number)
                found_by(finder, mirrors.url("good"))
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        assert finder.cache.load() is None or function == "os.replace"
    assert_right(found_by(finder, mirrors.url("good")), arrays)
    assert in_cache(finder) == CACHED


def _die_at_call(function, number):
    """Kill this process in the place of a call of a function of the standard library."""
    module = {"shutil": shutil, "os": os}[function.split(".")[0]]
    name, calls = function.split(".")[1], iter(range(1, number))
    original = getattr(module, name)

    def counted(*arguments):
        if next(calls, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments)

    setattr(module, name, counted)


def _full(file, array):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _gone(file, array):
    shutil.rmtree(file.parent)


@pytest.mark.parametrize("happens", [_full, _gone])
def test_cache_that_fails_half_way_is_done_without(happens, mirrors, finder, arrays, monkeypatch):
    written = []

    def write(file, array, original=cache_module.write_idx):
        if len(written) == 2:
            happens(file, array)
        original(file, array)
        written.append(file)

    with monkeypatch.context() as patched:
        patched.setattr(cache_module, "write_idx", write)
        found = found_by(finder, mirrors.url("good"))
    assert_right(found, arrays)
    assert "cannot be written" in found.source
    assert_right(found_by(finder, mirrors.url("good")), arrays)
    assert in_cache(finder) == CACHED


def test_full_disk_is_named(mirrors, finder, monkeypatch):
    class Full(io.FileIO):
        def write(self, data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(download_module, "open", Full, raising=False)
    with pytest.raises(DataNotFoundError) as caught:
        found_by(finder, mirrors.url("good"))
    assert f"{tempfile.gettempdir()}{os.sep}" in str(caught.value)
    assert "cannot be written (No space left on device); free some space" in str(caught.value)
    assert not os.listdir(tempfile.gettempdir())


def test_bad_mirrors_one_after_another_then_a_good_one(mirrors, files, tmp_path, short_patience):
    manners = ["missing", "wrong", "silent", "good"]
    download(files, [mirrors.url(manner) for manner in manners], tmp_path)
    first = next(iter(files))
    for manner in manners[:3]:
        assert names_asked(mirrors, manner) == [first]  # the good one is asked first from then on
    assert names_asked(mirrors, "good") == list(files)


def test_busy_mirror_is_asked_again(mirrors, files, tmp_path, short_patience):
    download({LABELS: files[LABELS]}, [mirrors.url("busy")], tmp_path)
    assert names_asked(mirrors, "busy") == [LABELS] * 2


def test_failure_lists_each_mirror_with_its_reason(mirrors, files, tmp_path, short_patience):
    manners = ["missing", "wrong", "short", "silent"]
    addresses = [mirrors.url(manner) for manner in manners]
    with socket.socket() as closed:  # bound, not listening: refuses
        closed.bind(("127.0.0.1", 0))
        addresses += [f"http://127.0.0.1:{closed.getsockname()[1]}", "no address"]
        with pytest.raises(DownloadError) as caught:
            download({LABELS: files[LABELS]}, addresses, tmp_path)
    reasons = caught.value.failures
    assert list(reasons) == addresses
    told = ["404 Not Found", "SHA256", "IncompleteRead", "", "refused", "no address"]
    for address, words in zip(addresses, told, strict=True):
        assert words in reasons[address]
        assert reasons[address]
        assert "\n" not in reasons[address]
        assert address in str(caught.value)
    assert names_asked(mirrors, "silent") == [LABELS]  # not waited for twice
    assert names_asked(mirrors, "missing") == [LABELS] * 2
    assert not list(tmp_path.glob("*.gz"))


def test_no_mirrors_at_all(files, tmp_path):
    with pytest.raises(DownloadError):
        download(files, [], tmp_path)


@pytest.fixture
def dead_addresses(mirrors, monkeypatch) -> Iterator[list[str]]:
    """A name that is never looked up to the end, a connect that hangs, a server that is mute."""
    released = threading.Event()
    look_up = socket.getaddrinfo

    def hanging_look_up(host, *args, **kwargs):
        if host == "hanging.test":
            released.wait(60)
            raise socket.gaierror("released")
        return look_up(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", hanging_look_up)
    full = socket.create_server(("127.0.0.1", 0), backlog=0)
    waiting = []
    for _ in range(4):  # fill the queue: Linux then lets further connects hang
        waiting.append(socket.socket())
        waiting[-1].setblocking(False)
        waiting[-1].connect_ex(full.getsockname())
    yield [
        "http://hanging.test/mnist",
        f"http://127.0.0.1:{full.getsockname()[1]}",
        mirrors.url("silent"),
    ]
    released.set()
    for each in [*waiting, full]:
        each.close()


def test_all_mirrors_hanging_are_given_up_within_ten_seconds(
    files, tmp_path, dead_addresses, monkeypatch
):
    for name in ("SILENCE_SECONDS", "GIVE_UP_SECONDS"):  # twice as fast
        monkeypatch.setattr(download_module, name, getattr(download_module, name) / 2)
    started = time.monotonic()
    with pytest.raises(DownloadError) as caught:
        download(files, dead_addresses, tmp_path)
    assert time.monotonic() - started < 10 / 2
    assert list(caught.value.failures) == dead_addresses


def test_more_mirrors_share_the_same_time(files, tmp_path, mirrors, monkeypatch):
    monkeypatch.setattr(download_module, "GIVE_UP_SECONDS", 0.5)
    started = time.monotonic()
    with pytest.raises(DownloadError):
        download(files, [mirrors.url("silent")] * 10, tmp_path)
    assert time.monotonic() - started < 2


def test_slow_but_steady_mirror_is_not_given_up(files, tmp_path, mirrors, monkeypatch, arrays):
    """What counts is silence, not the time that a file takes."""
    monkeypatch.setattr(download_module, "SILENCE_SECONDS", 0.4)

    def slow(answer):
        answer.send(length=len(answer.content))
        for start in range(0, len(answer.content), 16384):
            answer.write(answer.content[start : start + 16384])
            time.sleep(0.2)

    monkeypatch.setattr(mirrors, "good", slow)
    started = time.monotonic()
    download({IMAGES: files[IMAGES]}, [mirrors.url("good")], tmp_path)
    assert time.monotonic() - started > 2 * download_module.SILENCE_SECONDS


def test_abandoned_transfer_ends_and_keeps_nothing(files, tmp_path, mirrors, short_patience):
    with pytest.raises(DownloadError):
        download({IMAGES: files[IMAGES]}, [mirrors.url("stalled")], tmp_path)
    mirrors.hang_up()
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and any(tmp_path.rglob("tmp*")):
        time.sleep(0.02)
    assert not list(tmp_path.rglob("tmp*"))


def test_abandoned_transfer_does_not_deliver_later(files, tmp_path, mirrors, short_patience):
    with pytest.raises(DownloadError):
        download({IMAGES: files[IMAGES]}, [mirrors.url("late")], tmp_path)
    mirrors.hang_up()
    mirrors.delivered.wait(5)
    time.sleep(0.1)  # what the other end of the line takes for 90 kB
    assert not list(tmp_path.glob("*.gz"))


def test_progress_is_shown_on_standard_error(mirrors, files, tmp_path, capsys):
    download(files, [mirrors.url("good")], tmp_path, progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert all(name in err for name in files)
    assert "127.0.0.1" in err


def test_no_bar_is_left_of_a_file_that_did_not_come(mirrors, files, tmp_path, capsys):
    with pytest.raises(DownloadError):
        download(files, [mirrors.url("missing")], tmp_path, progress=True)
    err = capsys.readouterr().err
    assert "127.0.0.1" in err
    assert not any(name in err for name in files)


def test_nothing_is_shown_unless_asked(mirrors, files, tmp_path, capfd):
    download(files, [mirrors.url("good")], tmp_path)
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT for another process")
def test_interrupt_does_not_wait_for_a_silent_mirror(mirrors, files, tmp_path):
    program = (
        "from pathlib import Path\n"
        "from mnistcore.data.download import download\n"
        f"download({files}, [{mirrors.url('silent')!r}], Path({str(tmp_path)!r}))"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE)
    while not mirrors.requests and process.poll() is None:
        time.sleep(0.01)
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=10)
    assert errors.endswith(b"KeyboardInterrupt\n")
    assert time.monotonic() - started < 0.5
