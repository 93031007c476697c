"""Whole training steps of each network: gather, forward, backward and update.

A time is that of a round of steps. The GFLOP/s count the operations of the products alone, and
all of them, including those with pixels that are zero in a whole batch. The compiled backends
leave those out. "no skipping" shows them without that: only there does the fraction of the peak
say how busy the machine was.
"""

import pytest

from .conftest import Backend, Measure
from .sizes import TRAIN_STEP_NETWORKS, Case
from .workloads import Training


@pytest.mark.parametrize("skipping", [True, False], ids=["skipping", "no-skipping"])
@pytest.mark.parametrize("case", TRAIN_STEP_NETWORKS, ids=lambda case: case.name)
def bench_train_steps(
    case: Case, threads: int, backend: Backend, skipping: bool, measure: Measure
) -> None:
    if backend.name == "numpy" and not skipping:
        pytest.skip("the numpy backend never skips zeros")
    group = f"{case.round_steps} steps of {case.name}, batch {case.batch_size}, {threads} threads"
    label = backend.name if skipping else f"{backend.name}, no skipping"
    measure(group, backend, Training(case, case.round_steps, skipping), threads, label)
