"""The kinds of compiled function of the Numba backend."""

import numpy as np
import pytest

numba = pytest.importorskip("numba")

from mnistcore.kernels._numba import functions, memory  # noqa: E402
from mnistcore.kernels._numba.team import share  # noqa: E402

pytestmark = pytest.mark.skipif(not functions.JIT, reason="nothing is compiled")


def test_an_inner_function_is_for_compiled_callers():
    @numba.njit
    def caller(n):
        return share(n, 1, 3)

    assert caller(9) == (3, 6)
    with pytest.raises(TypeError, match="share can be called by compiled functions only"):
        share(9, 1, 3)


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
