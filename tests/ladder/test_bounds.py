"""No step reads or writes outside its arrays: each array ends at a page that may not be touched."""

import subprocess
import sys
from pathlib import Path

import pytest

from mnistcore.kernels.backends import BackendUnavailableError
from mnistcore.ladder import BACKENDS, steps

pytestmark = pytest.mark.slow

CODE = """
import sys
import numpy as np
sys.path.insert(0, {tests!r})
from guarded import guarded
from mnistcore.ladder import steps
rng = np.random.default_rng(0)
for m, k, n in ((1, 1, 1), (5, 3, 7), (8, 10, 33), (9, 17, 31), (33, 16, 10), (2, 5, 130)):
    a, b, out = (guarded(rng.integers(-8, 9, size).astype(np.float32))
                 for size in ((m, k), (k, n), (m, n)))
    for step in steps({backend!r}):
        out.fill(np.nan)
        step.multiply(a, b, out)
        assert np.array_equal(out, a @ b), step.name
"""


@pytest.mark.skipif(sys.platform != "linux", reason="mprotect is called through Linux's libc")
@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_outside_the_arrays_is_touched(backend, pytestconfig):
    try:
        steps(backend)
    except BackendUnavailableError as error:
        if backend in pytestconfig.getoption("--require-backends").split(","):
            pytest.fail(str(error))
        pytest.skip(str(error))
    import numba

    if backend == "numba" and numba.config.DISABLE_JIT:
        pytest.skip("vector instructions exist in compiled code only")
    root = Path(__file__).parents[2]
    code = CODE.format(tests=str(root / "tests"), backend=backend)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root)
    assert done.returncode == 0, f"status {done.returncode}: {done.stderr[-2000:]}"
