"""No kernel reads or writes outside its arrays: each array ends at a page that may not be touched.

Neither the uncompiled run nor bounds checks see past raw loads; the machine does: a float too far
is a segmentation fault. So each case runs in a child process.
"""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PREAMBLE = """
import sys
import numpy as np
sys.path.insert(0, {tests!r})
from guarded import guarded
from mnistcore import get_backend, set_num_threads
from mnistcore.models.network import Network
from mnistcore.training.optimizers import make_options, make_state
kernels = get_backend({backend!r})
rng = np.random.default_rng(0)
def floats(*shape):
    return guarded(rng.normal(size=shape).astype(np.float32))
"""

CASES = {
    "products": """
        for m, k, n in ((1, 1, 1), (5, 3, 7), (14, 10, 33), (15, 17, 31), (33, 16, 10), (2, 5, 90),
                        (17, 40, 70), (3, 1024, 33)):
            kernels.matmul(floats(m, k), floats(k, n), floats(m, n))
            kernels.matmul_tn(floats(k, m), floats(k, n), floats(m, n))
            kernels.matmul_nt(floats(m, k), floats(n, k), floats(m, n))
    """,
    "elementwise": """
        for b, o in ((1, 1), (3, 5), (4, 17), (2, 31), (7, 10)):
            z, a, out = floats(b, o), floats(b, o), floats(b, o)
            for name in ("tanh", "relu", "logistic"):
                getattr(kernels, name + "_forward")(z, out)
                getattr(kernels, name + "_backward")(z, a, out)
            kernels.add_bias(z, floats(o), out)
            kernels.sum_rows(z, floats(o))
            kernels.softmax(z, out)
            labels = guarded(np.zeros(b, np.int32))
            kernels.softmax_cross_entropy(z, labels, abs(floats(b)), out)
            kernels.dropout(z, guarded(np.arange(b)), 0.5, 1, 2, 3, out)
    """,
    "images": """
        from mnistcore.kernels import layout
        options = guarded(np.zeros(1, layout.AUGMENTATION_DTYPE))
        strengths = (90, 1, 0.9, 1, 0.5, 0.05, 1), (15, 0.1, 0.1, 0.1, 0.05, 0.2, 0.5)
        for side in (1, 2, 15, 16, 17, 27, 28, 33):
            for options[0] in strengths:
                images = guarded(rng.integers(0, 256, (40, side**2)).astype(np.uint8))
                order, out = guarded(rng.permutation(40)), guarded(images)
                kernels.augment(images, order, options, 1, 2, out)
    """,
    "updates": """
        for n in (1, 15, 17, 40):
            kernels.sgd_update(floats(n), 0.1, 0.9, True, 0.1, floats(n), floats(n))
            kernels.adam_update(floats(n), 0.1, 0.9, 0.9, 1e-8, 0.1, False, 1, floats(n),
                                floats(n), abs(floats(n)))
    """,
    "programs": """
        networks = ((5, 3), 4), ((7, 17, 10), 9), ((30, 5, 33, 2), 16), ((784, 10, 10), 3)
        for sizes, batch in networks:
            for dtype in (np.uint8, np.float32):
                n = 21
                network = Network(sizes, "relu", 0.5)
                layers = guarded(network.layers())
                x = guarded(rng.integers(0, 256, (n, sizes[0])).astype(dtype))
                targets = guarded(rng.integers(0, sizes[-1], n).astype(np.int32))
                limit = 0.5 if dtype == np.float32 else 0.0
                options = make_options(
                    batch_size=batch, scale=1 / 255, ema_decay=0.9, max_norm=limit,
                    clip_norm=limit)
                params = guarded(network.init(rng))
                state = guarded(make_state(options, params))
                order = guarded(rng.permutation(n))
                size = kernels.workspace_size(layers, batch, len(state))
                workspace = floats(size)
                kernels.train_steps(
                    x, targets, abs(floats(n)), order, guarded(np.full(-(-n // batch), 1e-3)),
                    layers, options, 6, params, state, np.zeros(0, np.float32), workspace,
                    guarded(np.zeros(3)))
                size = kernels.workspace_size(layers, n, 0)
                kernels.forward(x, params, layers, 1.0, 0.0, floats(size), floats(n, sizes[-1]))
                predictor = kernels.Predictor(params, layers, 1.0, 0.0)
                for rows in (1, n):
                    predictor(guarded(x[:rows]), floats(rows, sizes[-1]))
                kernels.loss_and_gradient(
                    x, targets, abs(floats(n)), params, layers, options,
                    floats(kernels.workspace_size(layers, n, 1)), guarded(np.empty_like(params)))
    """,
    "normalised programs": """
        for sizes, batch in (((7, 17, 10), 9), ((30, 5, 70, 2), 16), ((784, 10, 10), 3)):
            network, n = Network(sizes, "relu", 0.5, True), 21
            layers = guarded(network.layers())
            x = guarded(rng.integers(0, 256, (n, sizes[0])).astype(np.uint8))
            targets = guarded(rng.integers(0, sizes[-1], n).astype(np.int32))
            options = make_options(
                batch_size=batch, scale=1 / 255, label_smoothing=0.1, max_norm=0.5,
                ema_decay=0.9, clip_norm=0.5)
            params, buffers = guarded(network.init(rng)), guarded(network.init_buffers())
            state, order = guarded(make_state(options, params)), guarded(rng.permutation(n))
            kernels.train_steps(
                x, targets, abs(floats(n)), order, guarded(np.full(-(-n // batch), 1e-3)),
                layers, options, 6, params, state, buffers,
                floats(kernels.workspace_size(layers, batch, len(state))), guarded(np.zeros(3)))
            kernels.loss_and_gradient(
                x, targets, abs(floats(n)), params, layers, options,
                floats(kernels.workspace_size(layers, n, 1)), guarded(np.empty_like(params)))
    """,
    "soft targets": """
        for sizes, batch in (((7, 17, 3), 9), ((30, 5, 70), 16), ((784, 10, 10), 3)):
            network, n = Network(sizes, "relu", 0.5), 21
            layers = guarded(network.layers())
            x = guarded(rng.integers(0, 256, (n, sizes[0])).astype(np.uint8))
            targets = guarded(rng.dirichlet(np.ones(sizes[-1]), n).astype(np.float32))
            options, params = make_options(batch_size=batch), guarded(network.init(rng))
            state, order = guarded(make_state(options, params)), guarded(rng.permutation(n))
            kernels.train_steps(
                x, targets, abs(floats(n)), order, guarded(np.full(-(-n // batch), 1e-3)),
                layers, options, 0, params, state, np.zeros(0, np.float32),
                floats(kernels.workspace_size(layers, batch, len(state))), guarded(np.zeros(3)))
            kernels.loss_and_gradient(
                x, targets, abs(floats(n)), params, layers, options,
                floats(kernels.workspace_size(layers, n, 1)), guarded(np.empty_like(params)))
    """,
}


def _run(backend, body):
    code = PREAMBLE.format(tests=str(Path(__file__).parents[1]), backend=backend)
    code += textwrap.dedent(body)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


@pytest.mark.skipif(sys.platform != "linux", reason="mprotect is called through Linux's libc")
@pytest.mark.parametrize("case", CASES)
def test_nothing_outside_the_arrays_is_touched(compiled, case):
    name = compiled.NAME
    done = _run(name, CASES[case])
    assert done.returncode == 0, f"status {done.returncode}: {done.stderr[-2000:]}"


@pytest.mark.skipif(sys.platform != "linux", reason="mprotect is called through Linux's libc")
@pytest.mark.parametrize(("before", "index"), [(False, 4), (True, -1)])
def test_the_guard_bites(before, index):
    body = f"""
        import ctypes
        ones = guarded(np.ones(4, np.float32), before={before})
        for index in 0, 3, {index}:
            print(ctypes.c_float.from_address(ones.ctypes.data + 4 * index).value, flush=True)
    """
    done = _run("numpy", body)
    assert done.returncode < 0
    assert done.stdout.split() == ["1.0", "1.0"]
