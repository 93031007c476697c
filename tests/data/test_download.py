"""Downloads from servers on this machine, good and bad."""

import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from mnistcore.data import download as download_module
from mnistcore.data.download import DownloadError, download
from mnistcore.data.folder import FILE_NAMES

LABELS = "t10k-labels-idx1-ubyte.gz"
IMAGES = "train-images-idx3-ubyte.gz"  # 90 kB: stops half-way after some chunks

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("clean_place")]


@pytest.fixture
def files(release):
    """Hash by name of the four published files."""
    return {f"{name}.gz": sha for name, sha in zip(FILE_NAMES, release.gz_sha256, strict=True)}


@pytest.fixture
def short_patience(monkeypatch):
    monkeypatch.setattr(download_module, "SILENCE_SECONDS", 0.3)


def names_asked(mirrors, manner):
    return [path.rsplit("/", 1)[1] for path in mirrors.requests if path.startswith(f"/{manner}/")]


def test_good_mirror_delivers_all_files(mirrors, files, tmp_path):
    paths = download(files, [mirrors.url("good")], tmp_path)
    assert [path.name for path in paths] == list(files)
    assert all(path.is_file() and path.parent == tmp_path for path in paths)


@pytest.mark.parametrize(
    "manner", ["missing", "wrong", "short", "silent", "stalled", "drip", "endless"]
)
def test_bad_mirror_is_passed_over(manner, mirrors, files, tmp_path, short_patience, monkeypatch):
    monkeypatch.setattr(download_module, "MAX_BYTES", 2**24)
    wanted = {IMAGES: files[IMAGES]}
    bad, good = mirrors.url(manner), mirrors.url("good")
    (path,) = download(wanted, [bad, good], tmp_path)
    assert names_asked(mirrors, manner) == [IMAGES] == names_asked(mirrors, "good")
    assert list(tmp_path.glob("*.gz")) == [path]


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


def test_all_mirrors_hanging_are_given_up_within_ten_seconds(files, tmp_path, dead_addresses):
    started = time.monotonic()
    with pytest.raises(DownloadError) as caught:
        download(files, dead_addresses, tmp_path)
    assert time.monotonic() - started < 10
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

    def slow(to, content):
        mirrors._send(to, b"", len(content))
        for start in range(0, len(content), 16384):
            to.wfile.write(content[start : start + 16384])
            time.sleep(0.2)

    monkeypatch.setattr(mirrors, "_good", slow)
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
