"""Every array that a kernel or program takes: what is refused, what is only read, what overlaps.

One table of calls; a kernel that is missing in it fails the first test, and all the others go
through the array arguments that they find there.
"""

import inspect
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from problems import UNCOMPILED

from mnistcore.kernels import KERNELS, PROGRAMS, layout, numpy_kernels
from mnistcore.models.network import Network
from mnistcore.training.optimizers import make_options, make_state

FOLDERS = [str(folder) for folder in Path(__file__).parents[:3]]  # of the modules that tests import

pytestmark = pytest.mark.slow


class Call(NamedTuple):
    """Good arguments by name, those that are written, and the inputs that the output may be."""

    arguments: dict
    written: tuple[str, ...]
    in_place: tuple[str, ...] = ()


def _call(name):
    """Fresh arguments of a kernel, the same each time."""
    rng = np.random.default_rng(0)

    def floats(*shape):
        return rng.normal(size=shape).astype(np.float32)

    labels, weights = np.array([2, 0, 4], np.int32), abs(floats(3))
    two = {"a": floats(3, 5), "z": floats(3, 5), "da": floats(3, 5), "dz": floats(3, 5)}
    network = Network((6, 5, 5), "tanh", 0.5)
    params, layers, options = network.init(rng), network.layers(), make_options(batch_size=2)
    x, none = floats(3, 6), np.zeros(0, np.float32)
    net = {"params": params, "layers": layers}
    workspace = np.zeros(1 << 16, np.float32)
    samples = {"x": x, "targets": labels, "sample_weight": weights}
    scaling = {"scale": 1.0, "shift": 0.0}
    if name in ("matmul", "matmul_tn", "matmul_nt"):
        return Call({"a": floats(5, 5), "b": floats(5, 5), "out": floats(5, 5)}, ("out",))
    if name.endswith("_forward"):
        return Call({"z": two["z"], "a": two["a"]}, ("a",), ("z",))
    if name.endswith("_backward"):
        return Call({key: two[key] for key in ("da", "a", "dz")}, ("dz",), ("da", "a"))
    if name == "dropout":
        counts = {"rate": 0.5, "seed": 1, "epoch": 2, "layer": 3}
        inputs = {"a": two["a"], "samples": np.arange(3)}
        return Call(inputs | counts | {"out": floats(3, 5)}, ("out",), ("a",))
    if name == "augment":
        images = rng.integers(0, 256, (3, 25)).astype(np.uint8)
        settings = np.zeros(1, layout.AUGMENTATION_DTYPE)
        settings["smoothness"] = settings["elastic"] = 0.2
        inputs = {"images": images, "order": np.array([2, 0, 1]), "options": settings}
        return Call(inputs | {"seed": 1, "epoch": 2, "out": images[::-1].copy()}, ("out",))
    if name == "softmax_cross_entropy":
        inputs = {"logits": two["z"], "labels": labels, "sample_weight": weights}
        return Call(inputs | {"dlogits": floats(3, 5)}, ("dlogits",), ("logits",))
    if name == "sgd_update":
        scalars = {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}
        state = {"params": floats(5), "velocity": floats(5)}
        return Call({"gradient": floats(5)} | scalars | state, ("params", "velocity"))
    if name == "adam_update":
        scalars = {"learning_rate": 0.1, "beta1": 0.9, "beta2": 0.99, "eps": 1e-8}
        scalars |= {"weight_decay": 0.1, "decoupled": True, "step": 3}
        state = {"params": floats(5), "m": floats(5), "v": abs(floats(5))}
        return Call({"gradient": floats(5)} | scalars | state, ("params", "m", "v"))
    if name == "forward":
        outputs = {"workspace": workspace, "logits": floats(3, 5)}
        return Call({"x": x} | net | scaling | outputs, ("workspace", "logits"))
    if name == "loss_and_gradient":
        outputs = {"workspace": workspace, "gradient": floats(params.size)}
        return Call(samples | net | {"options": options} | outputs, tuple(outputs))
    if name == "train_steps":
        inputs = samples | {"order": np.array([1, 0, 2]), "learning_rates": np.full(2, 0.01)}
        inputs |= {"layers": layers, "options": options, "first_step": 0}
        outputs = {"params": params, "state": make_state(options, params), "buffers": none}
        outputs |= {"workspace": workspace, "metrics": np.zeros(3)}
        return Call(inputs | outputs, tuple(outputs))
    return {
        "add_bias": Call({"z": two["z"], "b": floats(5), "out": floats(3, 5)}, ("out",), ("z",)),
        "sum_rows": Call({"dz": two["dz"], "out": floats(5)}, ("out",)),
        "softmax": Call({"logits": two["z"], "probs": floats(3, 5)}, ("probs",), ("logits",)),
        "Predictor": Call(net | scaling | {"x": x, "logits": floats(3, 5)}, ("logits",)),
        "workspace_size": Call({"layers": layers, "batch_size": 2, "slots": 1}, ()),
    }[name]


NAMES = KERNELS + PROGRAMS


def _run(kernels, name, arguments):
    """Make a call; what it returns."""
    if name != "Predictor":
        return getattr(kernels, name)(**arguments)
    made = {key: arguments[key] for key in ("params", "layers", "scale", "shift")}
    return kernels.Predictor(**made)(arguments["x"], arguments["logits"])


def _arrays(call):
    return {key: value for key, value in call.arguments.items() if isinstance(value, np.ndarray)}


def _bytes(arguments):
    return {key: value.tobytes() for key, value in arguments.items() if hasattr(value, "tobytes")}


def _refusal(kernels, name, arguments):
    """The error that a call raises, and that it has written nothing."""
    before = _bytes(arguments)
    with pytest.raises((TypeError, ValueError)) as caught:
        _run(kernels, name, arguments)
    assert _bytes(arguments) == before
    assert str(caught.value).startswith(f"{name}: ")
    assert "\n" not in str(caught.value)
    return caught.type, str(caught.value).replace("float32 or float64", "float32")


def _assert_refused_alike(kernels, name, arguments, error, words):
    actual = _refusal(kernels, name, arguments)
    assert actual == _refusal(numpy_kernels, name, arguments)
    assert issubclass(actual[0], error)
    assert words in actual[1]


@pytest.mark.parametrize("name", NAMES)
def test_the_table_has_every_kernel(name):
    parameters = list(inspect.signature(getattr(numpy_kernels, name)).parameters)
    if name == "Predictor":
        parameters += ["x", "logits"]
    assert list(_call(name).arguments) == parameters


# ---------------------------------------------------------------------------------------------
# What an array must be
# ---------------------------------------------------------------------------------------------


def _misaligned(array):
    memory = np.zeros(array.nbytes + 1, np.uint8)
    copy = memory[1:].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def _spread(array):
    """The same numbers, each with a gap behind it."""
    wide = np.zeros((*array.shape, 2), array.dtype)
    wide[..., 0] = array
    return wide[..., 0]


SPOILED = {
    "swapped": (lambda array: array.astype(array.dtype.newbyteorder()), TypeError, "must be"),
    "misaligned": (_misaligned, TypeError, "must be aligned in memory"),
    "spread": (_spread, TypeError, "must be C-contiguous"),
    "reversed": (lambda array: array[::-1].copy()[::-1], TypeError, "must be C-contiguous"),
    "without dimensions": (
        lambda array: np.zeros((), array.dtype), ValueError, "must have",
    ),
    "one dimension more": (lambda array: array[None].copy(), ValueError, "must have"),
    "a list": (lambda array: array.tolist(), TypeError, "must be a NumPy array, got list"),
    "masked": (np.ma.array, TypeError, "must be a NumPy array, got MaskedArray"),
    "a matrix": (
        lambda array: array.view(np.matrix), TypeError, "must be a NumPy array, got matrix",
    ),
    "another type": (lambda array: np.zeros(array.shape, np.int16), TypeError, "must be"),
}  # fmt: skip


def _is_spoiled(array, kind):
    if kind in ("spread", "reversed"):
        return not SPOILED[kind][0](array).flags.c_contiguous
    if kind == "swapped":
        return array.dtype.newbyteorder() != array.dtype
    if kind == "misaligned":
        return array.itemsize > 1 and array.size > 0
    return kind != "a matrix" or (array.ndim == 2 and array.size > 0)


ARRAYS = [(name, key) for name in NAMES for key in _arrays(_call(name))]
BAD_ARRAYS = [
    (name, key, kind)
    for name, key in ARRAYS
    for kind in SPOILED
    if _is_spoiled(_call(name).arguments[key], kind)
]


@pytest.mark.parametrize(("name", "key", "kind"), BAD_ARRAYS)
def test_an_array_that_the_loops_cannot_read_is_refused(kernels, name, key, kind):
    call = _call(name)
    spoil, error, words = SPOILED[kind]
    arguments = call.arguments | {key: spoil(call.arguments[key])}
    _assert_refused_alike(kernels, name, arguments, error, f"{key} {words}")


@pytest.mark.skipif(UNCOMPILED, reason="nothing is dispatched")
def test_no_order_of_calls_lets_a_spoiled_matrix_in():
    """Numba remembers one type for all matrices that are not plain: each process learns anew."""
    pytest.importorskip("numba")
    code = f"""
import sys
from functools import partial
sys.path[:0] = {FOLDERS!r}
from test_arguments import SPOILED, _call, _refusal
from mnistcore import get_backend
from tests.differential.search import in_a_child
kernels, kinds = get_backend("numba"), ("misaligned", "spread", "swapped")
def refuse(first):
    for kind in (first, *kinds):
        for name in ("matmul", "matmul_tn", "matmul_nt"):
            for key in ("a", "b", "out"):
                arguments = _call(name).arguments
                _refusal(kernels, name, arguments | {{key: SPOILED[kind][0](arguments[key])}})
for first in kinds:
    in_a_child(partial(refuse, first))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


# ---------------------------------------------------------------------------------------------
# Read-only arrays
# ---------------------------------------------------------------------------------------------


def _frozen(array):
    """The numbers of an array in a bytes object, which nobody may write."""
    return np.frombuffer(array.tobytes(), array.dtype).reshape(array.shape)


def _mapped(array, folder, name):
    """The same in a file mapped for reading."""
    path = folder / f"{name}.bin"
    path.write_bytes(array.tobytes())
    return np.memmap(path, array.dtype, "r", shape=array.shape)


@pytest.mark.parametrize(
    ("name", "key"), [(name, key) for name in NAMES for key in _call(name).written]
)
def test_a_read_only_output_is_refused(kernels, name, key):
    call = _call(name)
    arguments = call.arguments | {key: _frozen(call.arguments[key])}
    _assert_refused_alike(kernels, name, arguments, ValueError, f"{key} is written")


@pytest.mark.parametrize("mapped", [False, True], ids=["bytes", "memmap"])
@pytest.mark.parametrize("name", NAMES)
def test_inputs_may_be_read_only(kernels, name, mapped, tmp_path):
    expected, call = _call(name), _call(name)
    inputs = {key: array for key, array in _arrays(call).items() if key not in call.written}
    if mapped:
        inputs = {key: _mapped(array, tmp_path, key) for key, array in inputs.items()}
    else:
        inputs = {key: _frozen(array) for key, array in inputs.items()}
    wanted = _run(kernels, name, expected.arguments)
    assert _run(kernels, name, call.arguments | inputs) == wanted
    for key in set(call.written) - {"workspace"}:
        np.testing.assert_array_equal(call.arguments[key], expected.arguments[key])


# ---------------------------------------------------------------------------------------------
# Arrays that overlap
# ---------------------------------------------------------------------------------------------


def _overlapping(first, second):
    """Copies of two arrays in one memory: the second begins in the last number of the first."""
    start = (first.nbytes - 1) // 8 * 8
    memory = np.zeros((start + second.nbytes) // 8 + 2)
    copies = []
    for array, at in ((first, 0), (second, start)):
        flat = np.frombuffer(memory, array.dtype, array.size, at)
        copies.append(flat.reshape(array.shape))
    return copies


# (A Predictor copies its parameters: later outputs may lie where those were.)
PAIRS = [
    (name, out, other)
    for name in NAMES
    for out in _call(name).written
    for other in _arrays(_call(name))
    if (name, other) not in (("Predictor", "params"), ("Predictor", "layers"))
    and out != other
    and min(_call(name).arguments[key].size for key in (out, other))
]


@pytest.mark.parametrize("later", [False, True], ids=["out first", "out last"])
@pytest.mark.parametrize(("name", "out", "other"), PAIRS)
def test_an_output_may_not_overlap_another_array(kernels, name, out, other, later):
    call = _call(name)
    arrays = call.arguments[out], call.arguments[other]
    copies = _overlapping(*arrays[::-1])[::-1] if later else _overlapping(*arrays)
    for copy, array in zip(copies, arrays, strict=True):
        copy[...] = array  # the input last: it must be good
    arguments = call.arguments | {out: copies[0], other: copies[1]}
    _assert_refused_alike(kernels, name, arguments, ValueError, "must not overlap")


ALIKE = [
    (name, out, other)
    for name, out, other in PAIRS
    if _call(name).arguments[out].shape == _call(name).arguments[other].shape
    and _call(name).arguments[out].dtype == _call(name).arguments[other].dtype
]


@pytest.mark.parametrize("view", [False, True], ids=["itself", "view"])
@pytest.mark.parametrize(("name", "out", "other"), ALIKE)
def test_an_output_may_be_an_input_of_its_kernel_where_the_contract_says_so(
    kernels, name, out, other, view
):
    call = _call(name)
    one = call.arguments[other]
    arguments = call.arguments | {out: one[:] if view else one}
    if other not in call.in_place:
        _assert_refused_alike(kernels, name, arguments, ValueError, "must not overlap")
        return
    expected = _call(name)
    returned = _run(kernels, name, expected.arguments)
    assert _run(kernels, name, arguments) == returned
    np.testing.assert_array_equal(one, expected.arguments[out])
