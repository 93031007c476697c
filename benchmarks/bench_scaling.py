"""How training steps scale: with the threads, the batch size, the width of the network."""

from dataclasses import replace

import pytest

from mnistcore.kernels.threads import available_cores

from .conftest import Backend, Measure, process_threads
from .sizes import (
    DEFAULT_NETWORK,
    SCALING_BATCHES,
    SCALING_FLOPS,
    SCALING_WIDTHS,
    TRAIN_STEP_NETWORKS,
    Case,
)
from .workloads import Training


@pytest.mark.parametrize("count", range(1, available_cores() + 1))
@pytest.mark.parametrize("case", TRAIN_STEP_NETWORKS[:3], ids=lambda case: case.name)
def bench_threads(case: Case, count: int, backend: Backend, measure: Measure) -> None:
    group = f"threads: {case.name}, batch {case.batch_size}, {count} threads"
    with process_threads(count):
        measure(group, backend, Training(case, case.round_steps), count)


@pytest.mark.parametrize("batch_size", SCALING_BATCHES)
def bench_batch_size(batch_size: int, backend: Backend, measure: Measure) -> None:
    case = replace(DEFAULT_NETWORK, batch_size=batch_size)
    steps = max(1, case.round_steps * DEFAULT_NETWORK.batch_size // batch_size)
    group = f"batch size: {case.name}, batch {batch_size}"
    with process_threads(available_cores()):
        measure(group, backend, Training(case, steps), available_cores())


@pytest.mark.parametrize("width", SCALING_WIDTHS)
def bench_width(width: int, backend: Backend, measure: Measure) -> None:
    case = replace(DEFAULT_NETWORK, layer_sizes=(784, width, 10))
    steps = max(1, min(200, SCALING_FLOPS // (case.flops_per_sample * case.batch_size)))
    group = f"width: {case.name}, batch {case.batch_size}"
    with process_threads(available_cores()):
        measure(group, backend, Training(case, steps), available_cores())
