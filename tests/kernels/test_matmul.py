"""The three products, to the bit on whole numbers, within a bound otherwise."""

import os
import subprocess
import sys

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import UNCOMPILED
from tolerances import assert_product_close

from mnistcore import set_num_threads
from mnistcore.kernels import threads as teams
from mnistcore.kernels.backends import BACKENDS, get_backend, unavailable_reason

# 1, primes, and the tiles of every instruction set less one, exact and one more.
SIZES = (1, 2, 5, 6, 7, 13, 14, 15, 16, 17, 31, 32, 33, 65)
TRIPLES = [(m, SIZES[(7 * i + 3) % 14], SIZES[(5 * i + 1) % 14]) for i, m in enumerate(SIZES * 3)]
TRIPLES += [(128, 784, 33), (64, 10, 64), (97, 101, 103), (3, 1, 300)]
# One or two vectors: with a last row, column or term short of a whole vector, and without.
TRIPLES += [(1, 96, 2100), (2, 131, 1100), (1, 77, 1), (203, 140, 1), (38, 69, 2), (2, 300, 2)]
JITTED = [name for name in BACKENDS if unavailable_reason(name) is None]


def _whole_numbers(rng, *shape):
    """Whole numbers so small that no product or sum of ours is rounded."""
    return rng.integers(-8, 9, shape).astype(np.float32)


def _operands(form, m, k, n, draw):
    """a and b as a form of the product takes them, and both as (M, K) and (K, N)."""
    a = draw(*((k, m) if form == "matmul_tn" else (m, k)))
    b = draw(*((n, k) if form == "matmul_nt" else (k, n)))
    plain_a = a.T if form == "matmul_tn" else a
    plain_b = b.T if form == "matmul_nt" else b
    return a, b, plain_a, plain_b


@pytest.mark.parametrize("form", ["matmul", "matmul_tn", "matmul_nt"])
@pytest.mark.parametrize(("m", "k", "n"), TRIPLES)
def test_exact_on_whole_numbers(kernels, form, m, k, n):
    rng = np.random.default_rng([m, k, n])
    a, b, plain_a, plain_b = _operands(form, m, k, n, lambda *s: _whole_numbers(rng, *s))
    out = np.full((m, n), np.nan, np.float32)
    getattr(kernels, form)(a, b, out)
    np.testing.assert_array_equal(out, plain_a.astype(np.int64) @ plain_b.astype(np.int64))


@pytest.mark.parametrize("form", ["matmul", "matmul_tn", "matmul_nt"])
@pytest.mark.parametrize(
    ("m", "k", "n"),
    [
        (130, 64, 200),
        (100, 1024, 40),
        (300, 70, 10),
        (20, 5, 700),
        (1, 9, 130),
        (1, 200, 650),
        (2, 90, 650),
        (650, 200, 1),
        (650, 90, 2),
        (700, 10, 20),
    ],
)
def test_bits_do_not_depend_on_threads(compiled, form, m, k, n, monkeypatch):
    monkeypatch.setattr(teams, "WORTHWHILE_TASKS", 0)  # even for products as small as these
    rng = np.random.default_rng(2)

    def draw(*shape):
        return rng.normal(size=shape).astype(np.float32)

    a, b, plain_a, plain_b = _operands(form, m, k, n, draw)
    results = []
    for threads in (1, 2, 3, 5):
        set_num_threads(threads)
        for _ in range(3):  # members asleep, then at the desk
            out = np.full((m, n), np.nan, np.float32)
            getattr(compiled, form)(a, b, out)
            results.append(out.tobytes())
    assert_product_close(out, plain_a, plain_b)
    assert set(results) == {results[0]}


@pytest.mark.parametrize("form", ["matmul", "matmul_tn", "matmul_nt"])
def test_against_loops(kernels, form):
    rng = np.random.default_rng(0)
    a, b, plain_a, plain_b = _operands(form, 7, 5, 9, lambda *s: _whole_numbers(rng, *s))
    out = np.full((7, 9), np.nan, np.float32)
    getattr(kernels, form)(a, b, out)
    np.testing.assert_array_equal(out, naive.matmul(plain_a, plain_b))


@pytest.mark.parametrize("form", ["matmul", "matmul_tn", "matmul_nt"])
def test_within_the_bound_on_any_numbers(kernels, form):
    rng = np.random.default_rng(1)

    def draw(*shape):
        return (rng.normal(size=shape) * 10.0 ** rng.integers(-3, 4, shape)).astype(np.float32)

    a, b, plain_a, plain_b = _operands(form, 65, 300, 47, draw)
    out = np.full((65, 47), np.nan, np.float32)
    getattr(kernels, form)(a, b, out)
    assert_product_close(out, plain_a, plain_b)


@pytest.mark.parametrize("backend", JITTED)
@settings(max_examples=40, deadline=None)
@given(m=st.integers(1, 70), k=st.integers(1, 70), n=st.integers(1, 70), seed=st.integers(0, 99))
def test_any_shape(backend, m, k, n, seed):
    kernels = get_backend(backend)
    rng = np.random.default_rng(seed)
    a, b = _whole_numbers(rng, m, k), _whole_numbers(rng, k, n)
    out = np.full((m, n), np.nan, np.float32)
    kernels.matmul(a, b, out)
    np.testing.assert_array_equal(out, a @ b)


def test_nan_of_an_operand_arrives(kernels):
    a, b = np.ones((3, 4), np.float32), np.ones((4, 5), np.float32)
    a[1, 2] = np.nan
    out = np.zeros((3, 5), np.float32)
    kernels.matmul(a, b, out)
    assert np.isnan(out[1]).all()
    assert (out[[0, 2]] == 4).all()


def test_empty_inner_dimension_gives_zeros(kernels):
    out = np.full((3, 5), np.nan, np.float32)
    kernels.matmul(np.ones((3, 0), np.float32), np.ones((0, 5), np.float32), out)
    assert (out == 0).all()


def test_empty_result(kernels):
    out = np.zeros((0, 5), np.float32)
    kernels.matmul(np.ones((0, 4), np.float32), np.ones((4, 5), np.float32), out)


@pytest.mark.skipif(UNCOMPILED, reason="minutes if uncompiled")
def test_scratch_lives_as_long_as_the_product(compiled):
    """Where freed memory is overwritten (glibc) or given back: a workspace freed early shows."""
    code = f"""
import itertools
import numpy as np
from mnistcore import get_backend, set_num_threads
kernels = get_backend({compiled.NAME!r})
shapes = (20, 30, 40), (128, 784, 1024), (64, 128, 10), (300, 1024, 300)
for threads, (m, k, n) in itertools.product((1, 2), shapes):
    set_num_threads(threads)
    a, b = np.ones((m, k), np.float32), np.ones((k, n), np.float32)
    for product, left, right in [
        (kernels.matmul, a, b),
        (kernels.matmul_tn, np.ascontiguousarray(a.T), b),
        (kernels.matmul_nt, a, np.ascontiguousarray(b.T)),
    ]:
        for _ in range(5):
            out = np.full((m, n), np.nan, np.float32)
            product(left, right, out)
            assert (out == k).all(), (threads, m, k, n, product.__name__)
"""
    environment = os.environ | {"MALLOC_PERTURB_": "165"}
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, timeout=120
    )
    assert run.returncode == 0, run.stderr.decode()[-2000:]
