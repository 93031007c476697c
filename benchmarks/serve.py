"""``python -m benchmarks.serve``: the web server under load, its start, and what watching costs.

load
    Connections that are kept open send one request after another. Requests a second, the time
    from a request to its answer, and the server's memory as the requests go on.
start
    Seconds from the command to a page with its list of networks.
watch
    Seconds of a training alone in the loop of ``train``, as a job of the server, and as a job
    whose events are read. Medians of interleaved rounds.
"""

import argparse
import asyncio
import contextlib
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import mnistcore
from mnistcore.kernels.blas import limited
from mnistcore.runs.execution import prepared_trainer
from mnistcore.runs.job import prepare
from mnistcore.training.fit import fit
from mnistcore.training.records import Listener

from .peers.tables import table

PARTS = ("load", "start", "watch")
DRAWING = 112  # pixels a side
SAMPLES_OF_MEMORY = 10


@contextlib.contextmanager
def server(run: Path, data: str = "auto") -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server in a process of its own, and its address."""
    command = [sys.executable, "-m", "mnistcore.serve", str(run), "--port", "0", "--no-browser"]
    process = subprocess.Popen(
        [*command, "--data", data], stdout=subprocess.PIPE, text=True, bufsize=1
    )
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline().split()[0].rstrip("/")
    finally:
        process.terminate()
        process.wait()


def asked(address: str, path: str, body: object = None) -> Any:
    """The answer to a request in JSON."""
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address + path, content, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


class Load:
    """Sends the same request again and again, on connections that stay open.

    Attributes
    ----------
    seconds
        From each request to the end of its answer.
    errors
        Answers with another status than 200.
    """

    def __init__(self, address: str, request: bytes) -> None:
        self._host, port = address.removeprefix("http://").split(":")
        self._port, self._request = int(port), request
        self.seconds: list[float] = []
        self.errors = 0

    async def run(self, connections: int, seconds: float, requests: int | None) -> None:
        """Send for so long, or so many requests if there is a number."""
        self._ends = time.perf_counter() + seconds
        self._left = requests
        async with asyncio.TaskGroup() as group:
            for _ in range(connections):
                group.create_task(self._connection())

    async def _connection(self) -> None:
        reader, writer = await asyncio.open_connection(self._host, self._port)
        while self._goes_on():
            began = time.perf_counter()
            writer.write(self._request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            self.seconds.append(time.perf_counter() - began)
            self.errors += not head.startswith(b"HTTP/1.1 200")
        writer.close()

    def _goes_on(self) -> bool:
        if self._left is None:
            return time.perf_counter() < self._ends
        self._left -= 1
        return self._left >= 0


def request_of(kind: str) -> bytes:
    """A request to predict, with pixels in JSON or a drawing as PNG."""
    digit = mnistcore.load_data("synthetic").test_images[0]
    if kind == "pixels":
        kind_of_body = "application/json"
        body = json.dumps({"pixels": digit.ravel().tolist()}).encode()
    else:
        paper = Image.new("L", (DRAWING, DRAWING), 255)
        size = round(0.7 * DRAWING)
        paper.paste(Image.fromarray(255 - digit).resize((size, size)), ((DRAWING - size) // 2,) * 2)
        file = io.BytesIO()
        paper.save(file, "PNG")
        kind_of_body, body = "image/png", file.getvalue()
    head = (
        "POST /api/predict HTTP/1.1\r\nhost: localhost\r\n"
        f"content-type: {kind_of_body}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def measure_load(
    run: Path, kind: str, connections: int, seconds: float, requests: int | None
) -> bool:
    """Print a line for the speed and one for the memory; whether every answer was right."""
    with server(run) as (process, address):
        load, request = Load(address, request_of(kind)), request_of(kind)
        asyncio.run(Load(address, request).run(connections, 1.0, None))  # loads what is loaded once
        memory = [memory_of(process.pid)]
        began = time.perf_counter()
        for _ in range(SAMPLES_OF_MEMORY):
            part = None if requests is None else -(-requests // SAMPLES_OF_MEMORY)
            asyncio.run(load.run(connections, seconds / SAMPLES_OF_MEMORY, part))
            memory.append(memory_of(process.pid))
        took = time.perf_counter() - began
    times = np.array(load.seconds) * 1000
    half, most = np.percentile(times, (50, 99))
    print(
        f"{kind}, {connections} connections: {len(times):,} requests in {took:.1f} s,"
        f" {len(times) / took:,.0f} a second; half of them within {half:.1f} ms,"
        f" 99 % within {most:.1f} ms, all within {times.max():.1f} ms; {load.errors} errors"
    )
    print(f"memory in MB: {' '.join(f'{size / 1e6:.1f}' for size in memory)}", flush=True)
    return not load.errors


def memory_of(process: int) -> int:
    """The memory of a process in bytes that it has for itself or shares, on Linux."""
    pages = Path(f"/proc/{process}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def measure_start(run: Path, rounds: int) -> None:
    """Print the time from the command to a page with its list of networks."""
    found = []
    for _ in range(rounds):
        began = time.perf_counter()
        with server(run) as (_, address):
            with urllib.request.urlopen(address, timeout=60) as page:
                page.read()
            assert asked(address, "/api/models")["models"]
            found.append(time.perf_counter() - began)
    print(f"start to page: {statistics.median(found):.2f} s (median of {rounds})", flush=True)


def measure_watching(run: Path, backend: str, epochs: int, rounds: int, data: str) -> None:
    """Print what a training takes alone, as a job, and as a job that is watched."""
    config = mnistcore.TrainConfig(backend=backend, epochs=epochs, data=data)
    dataset = config.load()
    found: dict[str, list[float]] = {"train": [], "job": [], "watched job": []}
    with server(run, data) as (_, address):
        for _ in range(rounds):
            found["train"].append(alone(config, dataset))
            found["job"].append(as_job(address, backend, epochs, watch=False))
            found["watched job"].append(as_job(address, backend, epochs, watch=True))
    ratios = {
        name: statistics.median(t / base for t, base in zip(each, found["job"], strict=True))
        for name, each in found.items()
    }
    rows = [
        [name, f"{statistics.median(each):.3f}", f"{min(each):.3f}", f"{ratios[name]:.3f}"]
        for name, each in found.items()
    ]
    print(f"{backend}, {epochs} epochs, {rounds} rounds")
    print(table(["", "seconds", "shortest", "of the job"], rows), flush=True)


def alone(config: mnistcore.TrainConfig, dataset: mnistcore.Dataset) -> float:
    """Seconds of a training in this process, which nobody watches."""
    job = prepare(config, dataset, writes=False)
    with limited(job.backend, 0):
        trainer = prepared_trainer(job, Listener(), lambda: None)
        began = time.perf_counter()
        fit(trainer, config.epochs)
        return time.perf_counter() - began


def as_job(address: str, backend: str, epochs: int, watch: bool) -> float:
    """Seconds of a training in the server."""
    job = asked(address, "/api/jobs", {"backend": backend, "epochs": epochs})["id"]
    watching = threading.Thread(target=_read, args=[f"{address}/api/jobs/{job}/events"])
    if watch:
        watching.start()
    while True:
        time.sleep(0.5)
        told = next(one for one in asked(address, "/api/jobs")["jobs"] if one["id"] == job)
        if told["state"] == "finished":
            break
        assert told["state"] in ("compiling", "training"), told
    if watch:
        watching.join()
    return float(told["elapsed"])


def _read(address: str) -> None:
    with urllib.request.urlopen(address, timeout=600) as stream:
        for _ in stream:
            pass


def main(argv: Sequence[str] | None = None) -> int:
    """Measure what is named, or all."""
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.serve", description=__doc__, formatter_class=layout
    )
    parser.add_argument("what", nargs="*", help=f"{', '.join(PARTS)} (default: all)")
    parser.add_argument("--run", help="the run to serve (default: one trained for it)")
    parser.add_argument("--body", choices=["pixels", "picture"], default="pixels")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--requests", type=int, help="so many requests instead of seconds")
    parser.add_argument("--backend", default="cython")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--data", default="auto", help="what `watch` trains on")
    options = parser.parse_args(argv)
    wanted = options.what or PARTS
    if other := set(wanted) - set(PARTS):
        parser.error(f"{min(other)} is none of {', '.join(PARTS)}")
    with tempfile.TemporaryDirectory() as folder:
        run = Path(options.run or Path(folder, "run"))
        if options.run is None:
            mnistcore.train(mnistcore.TrainConfig(data="synthetic", epochs=2, output=str(run)))
        right = True
        if "load" in wanted:
            size = options.connections, options.seconds, options.requests
            right = measure_load(run, options.body, *size)
        if "start" in wanted:
            measure_start(run, options.rounds)
        if "watch" in wanted:
            measure_watching(run, options.backend, options.epochs, options.rounds, options.data)
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
