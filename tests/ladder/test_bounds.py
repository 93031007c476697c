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
from mnistcore.ladder import LADDERS, load
from mnistcore.ladder.verify import mistake
for name in LADDERS:
    ladder = load(name)
    for shape in ladder.edges:
        if min(shape) > 0 and np.prod(shape) < 100_000:
            for step in ladder.steps({backend!r}):
                arguments = ladder.draw(shape, np.random.default_rng(shape))
                before = [np.copy(argument) for argument in arguments]
                arguments = [guarded(argument) if isinstance(argument, np.ndarray) else argument
                             for argument in arguments]
                wrong = mistake(ladder, before, arguments, step(*arguments))
                assert not wrong, (name, step.name, shape, wrong)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="mprotect is called through Linux's libc")
@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_outside_the_arrays_is_touched(backend, pytestconfig):
    try:
        steps("matmul", backend)
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
