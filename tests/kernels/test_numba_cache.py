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

pytest.importorskip("numba")

TRAINING = """
import hashlib
import sys
import numpy as np
sys.path.insert(0, {tests!r})
from test_numba_cache import trained
from mnistcore.kernels import numba_kernels
print(hashlib.sha256(trained(numba_kernels)).hexdigest(), numba_kernels.CACHE_FOLDER)
"""


def trained(kernels):
    """The predictions for a few images, as bytes; they take most of what is compiled."""
    network = Network((20, 16, 10))
    x = np.random.default_rng(0).integers(0, 256, (30, 20)).astype(np.uint8)
    params = network.init(np.random.default_rng(1))
    return network.predict(kernels, params, x, 1 / 255).tobytes()


@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="nothing is compiled")
def test_processes_that_start_at_once_on_an_empty_cache(tmp_path):
    environment = dict(os.environ, MNISTCORE_CACHE_DIR=str(tmp_path))
    environment.pop("NUMBA_CACHE_DIR", None)
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
