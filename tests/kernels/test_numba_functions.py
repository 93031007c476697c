"""The kinds of compiled function of the Numba backend."""

from typing import NamedTuple

import numpy as np
import pytest

numba = pytest.importorskip("numba")

from mnistcore.kernels import layout  # noqa: E402
from mnistcore.kernels._numba import bits, functions, memory  # noqa: E402
from mnistcore.kernels._numba.team import share  # noqa: E402

needs_jit = pytest.mark.skipif(not functions.JIT, reason="nothing is compiled")


class Pair(NamedTuple):
    """A record for the tests."""

    first: int
    second: int


@needs_jit
def test_an_inner_function_is_for_compiled_callers():
    @numba.njit
    def caller(n):
        return share(n, 1, 3)

    assert caller(9) == (3, 6)
    with pytest.raises(TypeError, match="share can be called by compiled functions only"):
        share(9, 1, 3)


@needs_jit
def test_numbers_in_the_source_do_not_make_new_compilations():
    @functions.inner
    def twice(n):
        return n + n

    @numba.njit
    def caller(n):
        return twice(1) + twice(2) + twice(n)

    assert caller(3) == 12
    assert len(twice.overloads) == 1


def test_a_record_lies_in_memory():
    @functions.entry
    def swap(at):
        pair = memory.load_record(at, Pair)
        memory.store_record(at, Pair(pair.second, pair.first))

    numbers = np.array([3, -4, 5])
    swap(numbers.ctypes.data)
    assert numbers.tolist() == [-4, 3, 5]


def test_an_option_is_read_by_its_name():
    @functions.entry
    def read(at):
        return memory.option(at, "optimizer"), memory.option(at, "beta2")

    options = np.zeros(2, layout.OPTIONS_DTYPE)
    options["optimizer"], options["beta2"] = [7, 8], [0.25, 0.75]
    assert read(options.ctypes.data) == (7, 0.25)
    assert read(options.ctypes.data + options.itemsize) == (8, 0.75)


@needs_jit
def test_a_c_function_is_called_through_its_pointer():
    @functions.c_function(2)
    def write(out, number):
        memory.store_index(out, 0, number)

    @numba.njit
    def caller(function, out):
        functions.call(function, (memory.address(out), 7))

    out = np.zeros(4, np.float32)
    caller(functions.pointer(write), out)
    assert out.view(np.int64)[0] == 7


def test_a_square_of_bits_is_transposed():
    @functions.entry
    def transpose(at):
        bits.transpose_bits(at)

    square = np.random.default_rng(0).integers(0, 2, (64, 64), np.uint8)
    words = np.packbits(square, axis=1, bitorder="little").view(np.int64).ravel()
    transpose(words.ctypes.data)
    transposed = np.unpackbits(words.view(np.uint8).reshape(64, 8), axis=1, bitorder="little")
    np.testing.assert_array_equal(transposed, square.T)
    assert (transposed != square).any()
