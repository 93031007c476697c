"""Whole training steps of each network: gather, forward, backward and update.

A time is that of a round of steps. The GFLOP/s count the operations of the products alone, and
all of them, also those with the pixels that are zero in a whole batch. The compiled backends
leave those out; "no skipping" shows them without that, and only then is the fraction of the peak
that of a machine at work.
"""

import pytest

from .conftest import Backend, Measure
from .sizes import TRAIN_STEP_NETWORKS, Case
from .workloads import TrainingRun, verify_training


@pytest.mark.parametrize("skipping", [True, False], ids=["skipping", "no-skipping"])
@pytest.mark.parametrize("case", TRAIN_STEP_NETWORKS, ids=lambda case: case.name)
def bench_train_steps(
    case: Case,
    threads: int,
    backend: Backend,
    skipping: bool,
    measure: Measure,
) -> None:
    if backend.name == "numpy" and not skipping:
        pytest.skip("the numpy backend never skips zeros")
    verify_training(backend.kernels, case)
    run = TrainingRun(backend.kernels, case, case.round_steps, skipping)
    run.fit_workspace()
    flops = case.flops_per_sample * case.batch_size * case.round_steps
    group = f"{case.round_steps} steps of {case.name}, batch {case.batch_size}, {threads} threads"
    label = backend.name if skipping else f"{backend.name}, no skipping"
    measure(group, label, threads, run.train, flops=flops)
