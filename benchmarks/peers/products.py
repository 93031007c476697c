"""Matrix products alone: ours, NumPy's BLAS, and MKL by way of PyTorch."""

import time
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np

from benchmarks.settling import settle

PRODUCT_LIBRARIES = ("mnistcore-numba", "mnistcore-cython", "numpy", "torch")
LEAST_SECONDS = 0.005  # a measurement repeats the call until this much time is spent


class Products:
    """Times the products of one library; each shape is verified before it is first timed."""

    def __init__(self, library: str, threads: int) -> None:
        self._make = {"torch": _torch_call, "numpy": _numpy_call}.get(library, _kernel_call)
        self._library, self._threads = library, threads
        self._calls: dict[tuple[str, int, int, int], Callable[[], object]] = {}

    def seconds(self, kernel: str, m: int, n: int, k: int) -> float:
        """The shortest call, out of a few milliseconds of calls."""
        shape = kernel, m, n, k
        call = self._calls.get(shape)
        if call is None:
            call = self._calls[shape] = self._verified_call(*shape)
            settle()  # the verification used a BLAS
        call()
        best, spent = np.inf, 0.0
        while spent < LEAST_SECONDS:
            began = time.perf_counter()
            call()
            seconds = time.perf_counter() - began
            best, spent = min(best, seconds), spent + seconds
        return best

    def _verified_call(self, kernel: str, m: int, n: int, k: int) -> Callable[[], object]:
        """The call, once it has been right on two pairs of matrices in the same arrays."""
        a_shape = (k, m) if kernel == "matmul_tn" else (m, k)
        b_shape = (n, k) if kernel == "matmul_nt" else (k, n)
        a, b = np.empty(a_shape, np.float32), np.empty(b_shape, np.float32)
        out = np.empty((m, n), np.float32)
        call = self._make(self._library, self._threads, kernel, a, b, out)
        for seed in range(2):
            rng = np.random.default_rng([seed, m, n, k])
            # Sums of products of small integers are exact in float32, in whatever order.
            a[...], b[...] = rng.integers(-8, 9, a_shape), rng.integers(-8, 9, b_shape)
            left, right = a.T if kernel == "matmul_tn" else a, b.T if kernel == "matmul_nt" else b
            expected = left @ right
            out.fill(np.nan)
            call()
            np.testing.assert_array_equal(out, expected)
        return call


def _kernel_call(
    library: str, threads: int, kernel: str, a: np.ndarray, b: np.ndarray, out: np.ndarray
) -> Callable[[], object]:
    from mnistcore import get_backend, set_num_threads

    set_num_threads(threads)
    product = getattr(get_backend(library.removeprefix("mnistcore-")), kernel)
    return lambda: product(a, b, out)


def _numpy_call(
    library: str, threads: int, kernel: str, a: np.ndarray, b: np.ndarray, out: np.ndarray
) -> Callable[[], object]:
    left = a.T if kernel == "matmul_tn" else a
    right = b.T if kernel == "matmul_nt" else b
    return lambda: np.matmul(left, right, out=out)


def _torch_call(
    library: str, threads: int, kernel: str, a: np.ndarray, b: np.ndarray, out: np.ndarray
) -> Callable[[], object]:
    import torch

    torch.set_num_threads(threads)
    left, right, result = map(torch.from_numpy, (a, b, out))
    left = left.t() if kernel == "matmul_tn" else left
    right = right.t() if kernel == "matmul_nt" else right
    return lambda: torch.mm(left, right, out=result)


def installed_product_libraries() -> list[str]:
    """Those of PRODUCT_LIBRARIES that are installed."""
    return [name for name in PRODUCT_LIBRARIES if name != "torch" or find_spec("torch")]
