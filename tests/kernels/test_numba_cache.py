"""The disk cache of the Numba backend: processes that start at once where nothing is compiled."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mnistcore.kernels import numpy_kernels
from mnistcore.models.network import Network
from mnistcore.training.optimizers import make_options, make_state

pytestmark = pytest.mark.slow

pytest.importorskip("numba")

TRAINING = """
import hashlib
import sys
import numpy as np
sys.path.insert(0, {tests!r})
from test_numba_cache import trained
from mnistcore.kernels import numba_kernels
from mnistcore.kernels._numba.cache import CACHE_FOLDER
print(hashlib.sha256(trained(numba_kernels)).hexdigest(), CACHE_FOLDER)
"""


def trained(kernels):
    """The predictions for a few images, as bytes; they take most of what is compiled."""
    network = Network((20, 16, 10))
    x = np.random.default_rng(0).integers(0, 256, (30, 20)).astype(np.uint8)
    params = network.init(np.random.default_rng(1))
    return network.predict(kernels, params, x, 1 / 255).tobytes()


def train_one_step(kernels, dtype=np.uint8, frozen=False):
    """One step on a few samples, which may be read-only."""
    network, options = Network((20, 16, 10)), make_options(batch_size=8)
    params, layers = network.init(np.random.default_rng(1)), network.layers()
    x, targets, order = np.ones((8, 20), dtype), np.zeros(8, np.int32), np.arange(8)
    for array in (x, targets, order):
        array.setflags(write=not frozen)
    none, workspace = np.zeros(0, np.float32), kernels.workspace_size(layers, 8, 2)
    kernels.train_steps(
        x, targets, none, order, np.full(1, 1e-3), layers, options, 0, params,
        make_state(options, params), none, np.zeros(workspace, np.float32), np.zeros(3),
    )  # fmt: skip


IN_TURN = """
import sys
from pathlib import Path
import numpy as np
from mnistcore.kernels import numba_kernels
from mnistcore.kernels._numba.cache import CACHE_FOLDER
def show():
    names = {path.name.split("-")[0] for path in Path(CACHE_FOLDER).rglob("*.nbc")}
    print(numba_kernels.compiled(), *sorted(names))
show()
a = np.ones((3, 3), np.float32)
numba_kernels.matmul(a, a, np.empty_like(a))
show()
"""

needs_jit = pytest.mark.skipif(
    os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="nothing is compiled"
)


def _fresh_environment(folder, **variables):
    environment = dict(os.environ, MNISTCORE_CACHE_DIR=str(folder), **variables)
    environment.pop("NUMBA_CACHE_DIR", None)
    return environment


@needs_jit
def test_only_what_is_called_is_compiled(tmp_path):
    environment = _fresh_environment(tmp_path, MNISTCORE_NUMBA_LANES="4")
    answer = subprocess.run(
        [sys.executable, "-c", IN_TURN], capture_output=True, text=True, env=environment, check=True
    )
    imported, multiplied = (line.split() for line in answer.stdout.splitlines())
    assert imported == ["False"]
    modules = {name.split(".")[0] for name in multiplied[1:]}
    assert multiplied[0] == "False"
    assert modules == {"matmul", "tile"}


@needs_jit
def test_compiled_tells_whether_the_training_program_is_in_the_cache(monkeypatch):
    from mnistcore.kernels import numba_kernels
    from mnistcore.kernels._numba import training

    trained(numba_kernels)
    train_one_step(numba_kernels)
    assert numba_kernels.compiled()
    monkeypatch.setattr(training, "SIGNATURE", training.SIGNATURE[:2])
    assert not numba_kernels.compiled()


@needs_jit
def test_a_program_has_one_signature():
    from mnistcore.kernels import numba_kernels
    from mnistcore.kernels._numba import training

    train_one_step(numba_kernels)
    train_one_step(numba_kernels, np.float32, frozen=True)
    assert training.train.signatures == [training.SIGNATURE]


@needs_jit
def test_processes_that_start_at_once_on_an_empty_cache(tmp_path):
    environment = _fresh_environment(tmp_path)
    code = TRAINING.format(tests=str(Path(__file__).parent))
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for _ in range(2)
    ]
    answers = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], answers
    expected = hashlib.sha256(trained(numpy_kernels)).hexdigest()
    for out, _ in answers:
        digest, folder = out.split(maxsplit=1)
        assert digest == expected
        assert Path(folder.strip()).is_relative_to(tmp_path)
        assert any(Path(folder.strip()).rglob("*.nbc"))
