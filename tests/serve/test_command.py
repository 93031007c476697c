"""The command: what it says, how it fails, and that Ctrl-C ends it at once."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

pytest.importorskip("uvicorn", reason="the server needs the extra serve")
pytest.importorskip("httpx", reason="httpx asks the server")

import httpx

from mnistcore.serve import main
from mnistcore.serve.server import address_of


def refused(capsys, *arguments):
    assert main([*arguments, "--no-browser"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = [line for line in err.splitlines() if "error" in line]
    return line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "nowhere: no such file; give a run folder or a .safetensors file"),
        (["--port", "70000"], "port must be in [0, 65535], got 70000"),
        (["--port", "http"], "port must be a whole number"),
        (["--host", ""], "host must not be empty"),
        (["--host", "no such host"], "this is no address of this machine"),
        (["--host", "192.0.2.1"], "this machine does not have this address"),
        (["--prot", "1"], "did you mean '--port'?"),
        (["--data", "nowhere.csv"], "nowhere.csv: no such file or folder"),
        (["--data", ""], "data must not be empty"),
    ],
)
def test_a_bad_command_line_gets_one_clear_line(capsys, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    assert words in refused(capsys, *arguments)


def test_a_port_that_is_taken(capsys, run_folder):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = refused(capsys, str(run_folder), "--port", str(port))
    assert line.endswith(
        f"127.0.0.1, port {port}: another program listens there; give another --port, or 0 for a"
        " free one"
    )


def test_a_network_that_reads_no_digits_is_named(capsys, tmp_path):
    from small_models import MODELS

    from mnistcore.models.checkpoint import save

    save(tmp_path / "small.safetensors", MODELS["tanh"])
    line = refused(capsys, str(tmp_path / "small.safetensors"))
    assert f"{tmp_path}/small.safetensors: the network takes images of 6 x 6 pixels" in line


def test_without_the_extra_the_command_names_it(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "starlette", None)
    line = refused(capsys)
    assert "starlette is needed" in line
    assert "[serve]" in line


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://127.0.0.1:80/"),
        ("0.0.0.0", "http://127.0.0.1:80/"),
        ("::", "http://[::1]:80/"),
        ("::1", "http://[::1]:80/"),
        ("localhost", "http://localhost:80/"),
    ],
)
def test_the_address_is_one_that_a_browser_opens(host, address):
    assert address_of(host, 80) == address


@contextlib.contextmanager
def command(*arguments, folder):
    """The command in a process of its own, and the address that it says."""
    environment = {**os.environ, "BROWSER": "true"}
    process = subprocess.Popen(
        [sys.executable, "-m", "mnistcore.serve", "--port", "0", *arguments],
        cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process, process.stdout.readline().split()[0]
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_at_once_and_quietly(tmp_path, number):
    """While a network trains, and pages watch."""
    arguments = ["--no-browser", "--data", "synthetic"]
    with command(*arguments, folder=tmp_path) as (process, address):
        client = httpx.Client(base_url=address, timeout=60)
        job = {"epochs": 1000, "backend": "numpy"}
        client.get("/api/options")  # from now on the peak is measured and the data loaded
        identifier = client.post("/api/jobs", json=job).json()["id"]
        ended = [threading.Event() for _ in range(3)]
        for event in ended:
            watch = threading.Thread(target=_watch, args=[address, identifier, event])
            watch.start()
        while client.get("/api/jobs").json()["jobs"][0]["samples"] == 0:
            time.sleep(0.05)
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
        assert all(event.wait(20) for event in ended)
    assert process.returncode == (130 if number == signal.SIGINT else -number)
    assert out == ""
    assert err == "no run was named: the page can train a network\n"
    assert not list(tmp_path.iterdir())  # nothing is written


def _watch(address, job, ended):
    with (
        contextlib.suppress(httpx.TransportError),
        httpx.stream("GET", f"{address}api/jobs/{job}/events", timeout=60) as stream,
    ):
        for _ in stream.iter_lines():
            pass
    ended.set()


def test_what_it_means_to_listen_to_others(run_folder, tmp_path):
    arguments = [str(run_folder), "--no-browser", "--host", "0.0.0.0"]
    with command(*arguments, folder=tmp_path) as (process, address):
        assert httpx.get(f"{address}healthz").json() == {"status": "ok"}
        process.terminate()
        _, err = process.communicate(timeout=20)
    assert err.startswith("it listens on 0.0.0.0: whoever reaches this machine can use the page")
