"""Each kernel against NumPy's: products beside the FMA peak, the others beside a triad.

A kernel other than a product runs on one thread in every backend, and is compared with a triad
whose arrays are as large as its own: what fits into a cache is compared with that cache.
"""

import pytest

from .conftest import Backend, Measure, process_threads
from .sizes import BENCHED_PRODUCT_BATCHES, product_shapes
from .workloads import elementwise_calls, product


@pytest.mark.parametrize(
    "shape", product_shapes(BENCHED_PRODUCT_BATCHES), ids=lambda s: "{}-{}x{}x{}".format(*s)
)
def bench_product(
    shape: tuple[str, int, int, int], threads: int, backend: Backend, measure: Measure
) -> None:
    name, m, n, k = shape
    measure(f"{name} {m}x{k} by {k}x{n}, {threads} threads", backend, product(*shape), threads)


@pytest.mark.parametrize("name", sorted(elementwise_calls()))
def bench_elementwise(name: str, backend: Backend, measure: Measure) -> None:
    with process_threads(1):
        measure(name, backend, elementwise_calls()[name], threads=1)
