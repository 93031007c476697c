"""What the benchmarks share: backends, numbers of threads, rates, and the summary."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from mnistcore import get_backend
from mnistcore.kernels.backends import BACKENDS, unavailable_reason
from mnistcore.kernels.threads import available_cores, limited_threads

from . import ceilings
from .settling import settle
from .sizes import MAX_SECONDS, MIN_ROUNDS
from .workloads import Workload

# NumPy comes first, because the other backends of a group are compared with it.
ORDER = ("numpy", *(name for name in reversed(BACKENDS) if name != "numpy"))
TABLE = pytest.StashKey[list[tuple[str, ...]]]()


@dataclass(frozen=True)
class Backend:
    """A backend by name, with its module."""

    name: str
    kernels: ModuleType


@pytest.fixture(params=ORDER)
def backend(request: pytest.FixtureRequest) -> Backend:
    """Each backend in turn; one that is missing skips with its reason."""
    reason = unavailable_reason(request.param)
    if reason is not None:
        pytest.skip(reason)
    return Backend(request.param, get_backend(request.param))


@pytest.fixture(params=sorted({1, available_cores()}), ids=lambda n: f"{n}-threads")
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """One thread, then all, for our kernels and for NumPy's BLAS alike."""
    with process_threads(request.param):
        yield request.param


@contextmanager
def process_threads(count: int) -> Iterator[None]:
    """At most so many threads in this thread's calls of the kernels and in NumPy's BLAS."""
    threadpoolctl = pytest.importorskip("threadpoolctl", reason="sets the threads of NumPy's BLAS")
    with limited_threads(count), threadpoolctl.threadpool_limits(count, "blas"):
        yield


class Measure:
    """Verifies a workload, times it, and notes what the time means."""

    def __init__(self, benchmark: Any, table: list[tuple[str, ...]], baselines: dict[str, float]):
        self._benchmark, self._table, self._baselines = benchmark, table, baselines

    def __call__(
        self, group: str, backend: Backend, workload: Workload, threads: int, label: str = ""
    ) -> None:
        """Time a workload in a backend, once its results have been verified.

        ``label`` names the backend in the tables, where its name alone does not say enough.
        """
        workload.verify(backend.kernels)
        call = workload.ready(backend.kernels)
        label = label or backend.name
        self._benchmark.group = group
        settle()  # the threads of a BLAS may still spin after the verification
        self._benchmark(call)
        if self._benchmark.stats is None:  # --benchmark-disable: it was only called
            return
        seconds = self._benchmark.stats.stats.min
        info = {"backend": label, "threads": threads, "best_seconds": seconds}
        info |= _rates(seconds, threads, workload)
        if label == "numpy":
            self._baselines[group] = seconds
        if group in self._baselines:
            info["times_as_fast_as_numpy"] = self._baselines[group] / seconds
        self._benchmark.extra_info.update(info)
        self._table.append(_line(group, info))


def _rates(seconds: float, threads: int, workload: Workload) -> dict[str, float]:
    if workload.flops:
        rate, peak = 1e-9 * workload.flops / seconds, ceilings.peak_gflops(threads)
        return {"gflops": rate, "peak_gflops": peak, "fraction_of_peak": rate / peak}
    rate = 1e-9 * workload.moved_bytes / seconds
    peak = ceilings.bandwidth_gbs(threads, workload.moved_bytes)
    return {"gbs": rate, "triad_gbs": peak, "fraction_of_bandwidth": rate / peak}


def _line(group: str, info: dict[str, Any]) -> tuple[str, ...]:
    if "gflops" in info:
        rate, fraction = f"{info['gflops']:.1f} GFLOP/s", info["fraction_of_peak"]
    else:
        rate, fraction = f"{info['gbs']:.1f} GB/s", info["fraction_of_bandwidth"]
    faster = info.get("times_as_fast_as_numpy")
    return (
        group,
        info["backend"],
        f"{1e6 * info['best_seconds']:.1f} us",
        rate,
        f"{fraction:.0%}",
        f"{faster:.2f}x" if faster else "",
    )


@pytest.fixture(scope="session")
def baselines() -> dict[str, float]:
    """NumPy's best time of each group, in seconds."""
    return {}


@pytest.fixture
def measure(benchmark: Any, baselines: dict[str, float], pytestconfig: pytest.Config) -> Measure:
    """Verifies and times a workload, and notes its rate beside the machine's limit and NumPy."""
    return Measure(benchmark, pytestconfig.stash.setdefault(TABLE, []), baselines)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Limit the time of every benchmark, and run the backends of a group one after another."""
    ours = [item for item in items if Path(__file__).parent in item.path.parents]
    for item in ours:
        item.add_marker(pytest.mark.benchmark(min_rounds=MIN_ROUNDS, max_time=MAX_SECONDS))
    groups: dict[str, int] = {}
    for item in ours:
        groups.setdefault(_without_backend(item), len(groups))
    others = [item for item in items if item not in set(ours)]
    items[:] = others + sorted(ours, key=lambda item: groups[_without_backend(item)])


def _without_backend(item: pytest.Item) -> str:
    params = item.callspec.params if isinstance(item, pytest.Function) else {}
    return f"{item.path}{item.name.split('[')[0]}{params | {'backend': None}}"


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the rates, which pytest-benchmark's own tables do not show."""
    rows = config.stash.get(TABLE, [])
    if not rows:
        return
    terminalreporter.section("rates of the best round, beside the measured limit and NumPy")
    header = ("group", "backend", "best", "rate", "of limit", "NumPy")
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    for row in (header, *rows):
        cells = [
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        terminalreporter.write_line("  ".join(cells))
