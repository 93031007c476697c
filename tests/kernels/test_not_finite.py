"""NaN and infinity: every kernel and program does with them what the reference does."""

import itertools
import math

import numpy as np
import pytest

from mnistcore import set_num_threads
from mnistcore.kernels import KERNELS, layout, numpy_kernels
from mnistcore.kernels import threads as teams
from mnistcore.models.network import Network
from mnistcore.training.optimizers import make_options, make_state

VALUES = np.array([0.0, -0.0, 1.0, -2.0, 1e25, -np.inf, np.inf, np.nan], np.float32)
ACTIVATIONS = [name for name in KERNELS if name.endswith(("_forward", "_backward"))]
NONE = np.zeros(0, np.float32)
UNWRITTEN = 1234.5


@pytest.fixture(autouse=True)
def _quiet():
    with np.errstate(all="ignore"):
        yield


def _combinations(n):
    """Every choice of n values: n arrays (1, many)."""
    return np.array(list(itertools.product(VALUES, repeat=n)), np.float32).T[:, None].copy()


def _assert_alike(actual, expected):
    """The same numbers to within rounding, NaN and the infinities at the same places."""
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-35)


def _unwritten(shape):
    """An output that holds what no result is."""
    return np.full(shape, UNWRITTEN, np.float32)


def _both(kernels, name, arguments, outputs):
    """The outputs of a backend and of the reference, each from copies of the arguments."""
    results = []
    for module in (kernels, numpy_kernels):
        own = [a.copy() if isinstance(a, np.ndarray) else a for a in arguments]
        returned = getattr(module, name)(*own)
        results.append([*own[-outputs:], 0.0 if returned is None else returned])
    for actual, expected in zip(*results, strict=True):
        _assert_alike(actual, expected)
    return results[0]


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_and_derivatives(compiled, name):
    inputs = _combinations(2 if name.endswith("_backward") else 1)
    _both(compiled, name, [*inputs, _unwritten(inputs[0].shape)], 1)


def test_relu_backward_is_zero_where_nothing_passed(kernels):
    da, a = _combinations(2)
    dz = np.full_like(a, np.nan)
    kernels.relu_backward(da, a, dz)
    assert (dz[~(a > 0)] == 0).all()
    np.testing.assert_array_equal(dz[a > 0], da[a > 0])


@pytest.mark.parametrize("name", ["softmax", "softmax_cross_entropy"])
def test_losses(compiled, name):
    logits = _combinations(3)[:, 0].T.copy()  # a choice in each row
    if name == "softmax":
        _both(compiled, name, [logits, _unwritten(logits.shape)], 1)
        return
    for row in logits:  # one at a time: a mean would tell little
        for label in range(3):
            labels = np.array([label], np.int32)
            _both(compiled, name, [row[None], labels, NONE, _unwritten((1, 3))], 1)


@pytest.mark.parametrize("classes", [3, 70])
def test_a_difference_of_logits_that_overflows(compiled, classes):
    logits = np.zeros((1, classes), np.float32)
    logits[0, :2] = 3e38, -3e38
    labels = np.array([1], np.int32)
    _, loss = _both(
        compiled, "softmax_cross_entropy", [logits, labels, NONE, _unwritten(logits.shape)], 1
    )
    assert loss == np.inf
    network = Network((2, classes))
    params, layers = np.zeros(network.n_params, np.float32), network.layers()
    network.views(params)[0][1][:] = logits[0]
    options = make_options("sgd", batch_size=1)
    workspace = np.zeros(compiled.workspace_size(layers, 1, 0), np.float32)
    done = compiled.train_steps(
        np.ones((1, 2), np.float32), labels, NONE, np.arange(1), np.ones(1), layers, options, 0,
        params, make_state(options, params), NONE, workspace, np.zeros(3),
    )  # fmt: skip
    assert done == 0


@pytest.mark.parametrize(
    "weights", [*itertools.product([0, 1, -1, np.inf, np.nan], repeat=2)], ids=str
)
def test_weights_of_any_value(compiled, weights):
    logits, labels = np.array([[1, 2, 3], [0, 5, 1]], np.float32), np.array([2, 0], np.int32)
    arguments = [logits, labels, np.array(weights, np.float32), _unwritten((2, 3))]
    _both(compiled, "softmax_cross_entropy", arguments, 1)


def test_dropout_drops_whatever_there_is(kernels):
    a = np.repeat(VALUES[:, None], 40, axis=1)
    arguments = [a, np.arange(len(a)), 0.5, 1, 2, 3, np.full_like(a, np.nan)]
    out, _ = _both(kernels, "dropout", arguments, 1)
    dropped = layout.random_bits(np.arange(len(a)), 40, 1, 2, 3) < 2**31
    assert (out[dropped] == 0).all()
    assert np.isnan(out[-1, ~dropped[-1]]).all()


@pytest.mark.parametrize("name", ["matmul", "matmul_tn", "matmul_nt"])
def test_products(compiled, name):
    a, b = _combinations(2)[:, 0]
    if name == "matmul":
        a, b = a[:, None], b[None]
    elif name == "matmul_tn":
        a, b = a[None], b[None]
    else:
        a, b = a[:, None], b[:, None]
    _both(compiled, name, [a.copy(), b.copy(), _unwritten((64, 64))], 1)


def test_sums(compiled):
    rows = _combinations(3)[:, 0]
    _both(compiled, "sum_rows", [rows.copy(), _unwritten(rows.shape[1])], 1)
    _both(compiled, "add_bias", [rows.copy(), rows[0].copy(), _unwritten(rows.shape)], 1)


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.9, False), (0.9, True)])
def test_sgd(compiled, momentum, nesterov, decay):
    gradient, params, velocity = _combinations(3)[:, 0]
    velocity = velocity.copy() if momentum else NONE
    constants = [0.1, momentum, nesterov, decay]
    _both(compiled, "sgd_update", [gradient.copy(), *constants, params.copy(), velocity], 2)


@pytest.mark.parametrize("decoupled", [False, True])
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_adam(compiled, decay, decoupled):
    """A gradient of 1e25 has a square that no float32 holds, and its step is 0."""
    gradient, params, m, v = _combinations(4)[:, 0]
    constants = [0.1, 0.9, 0.999, 1e-8, decay, decoupled, 3]
    state = [params.copy(), m.copy(), np.abs(v)]
    _both(compiled, "adam_update", [gradient.copy(), *constants, *state], 3)


# ---------------------------------------------------------------------------------------------
# Programs
# ---------------------------------------------------------------------------------------------

PLACES = [
    "x",
    "x of weight 0",
    "a zero of x",
    "first weights",
    "first bias",
    "last weights",
    "last bias",
    "weight",
]
NETWORKS = {
    "one layer": Network((5, 3)),
    "784-10-10": Network((784, 10, 10), "tanh"),
    "two hidden": Network((20, 33, 17, 10), "relu"),
    "odd": Network((7, 3, 31, 16, 2), "logistic"),
    "linear": Network((9, 14, 4), "identity"),
    "dropout": Network((30, 64, 33, 10), "relu", 0.3),
    "dropout of tanh": Network((30, 15, 5), "tanh", 0.5),
}


def _data(network, n):
    """Samples with many zeros, as MNIST has."""
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 1, (n, network.layer_sizes[0])).astype(np.float32)
    x[rng.random(x.shape) < 0.6] = 0
    x[:, 1] = 0
    x[:, 2] = 0.5
    return x, rng.integers(0, network.layer_sizes[-1], n).astype(np.int32)


def _spoiled(network, place, value, n, row):
    """Samples, weights and parameters with one value that is not finite."""
    x, targets = _data(network, n)
    params = network.init(np.random.default_rng(1)) + np.float32(0.01)
    weights = np.random.default_rng(2).uniform(0.5, 2, n).astype(np.float32)
    views = network.views(params)
    if "x" in place.split():
        x[row, 1 if place == "a zero of x" else 2] = value
        weights[row] *= place != "x of weight 0"
    elif place == "weight":
        weights[row] = value
    else:
        layer, part = place.split()
        array = views[0 if layer == "first" else -1][0 if part == "weights" else 1]
        array[(0,) * array.ndim] = value
    return x, targets, weights, params


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=str)
@pytest.mark.parametrize("place", PLACES[:-1])
@pytest.mark.parametrize("name", NETWORKS)
def test_forward_and_predictor(compiled, name, place, value):
    network = NETWORKS[name]
    layers = network.layers()
    for n in (1, 3, 40):
        x, _, _, params = _spoiled(network, place, value, n, n // 2)
        expected = np.empty((n, network.layer_sizes[-1]), np.float32)
        numpy_kernels.forward(x, params, layers, 1.0, 0.0, NONE, expected)
        logits = _unwritten(expected.shape)
        workspace = np.full(compiled.workspace_size(layers, n, 0), np.nan, np.float32)
        compiled.forward(x, params, layers, 1.0, 0.0, workspace, logits)
        np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)
        logits = _unwritten(expected.shape)
        compiled.Predictor(params, layers, 1.0, 0.0)(x, logits)
        np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)


def test_a_scale_that_overflows(kernels):
    network = NETWORKS["two hidden"]
    logits = _unwritten((40, 10))
    params = network.init(np.random.default_rng(1))
    predictor = kernels.Predictor(params, network.layers(), 1e39, 0.0)
    predictor(np.zeros((40, 20), np.float32), logits)  # infinity times 0
    assert np.isnan(logits).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=str)
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
def test_loss_and_gradient(compiled, name, soft, place, value):
    """Of a loss that is not finite nothing is left but NaN."""
    network = NETWORKS[name]
    layers, options = network.layers(), make_options(seed=3)
    x, targets, weights, params = _spoiled(network, place, value, 20, 7)
    if soft:
        targets = np.eye(network.layer_sizes[-1], dtype=np.float32)[targets]
    results = []
    for module in (compiled, numpy_kernels):
        gradient = np.full_like(params, 7)
        workspace = np.zeros(module.workspace_size(layers, 20, 1), np.float32)
        loss = module.loss_and_gradient(
            x, targets, weights, params, layers, options, workspace, gradient
        )
        assert math.isfinite(loss) or (math.isnan(loss) and np.isnan(gradient).all())
        results.append((loss, gradient))
    for actual, expected in zip(*results, strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("step", [0, 2, 5], ids=["first", "middle", "partial"])
@pytest.mark.parametrize("place", ["x", "x of weight 0", "first weights", "last bias", "weight"])
@pytest.mark.parametrize("name", ["784-10-10", "two hidden", "dropout of tanh"])
def test_training_stops_before_the_update(compiled, name, place, step, threads, monkeypatch):
    """The first steps leave the bits that they leave alone; what is spoiled stops the next."""
    monkeypatch.setattr(teams, "WORTHWHILE", 0)
    set_num_threads(threads)
    network, rule = NETWORKS[name], "adam" if place == "x" else "sgd"
    step = step if place[0] in "xw" else 0  # in a sample
    value = np.inf if place == "weight" else np.nan
    x, targets, weights, params = _spoiled(network, place, value, 54, 10 * step + 3)
    options, layers = make_options(rule, batch_size=10), network.layers()

    def train(module, n):
        own, metrics = params.copy(), np.zeros(3)
        state = make_state(options, own)
        workspace = np.zeros(module.workspace_size(layers, 10, len(state)), np.float32)
        done = module.train_steps(
            x, targets, weights, np.arange(n), np.full(-(-n // 10), 0.05), layers, options, 0,
            own, state, NONE, workspace, metrics,
        )  # fmt: skip
        return done, own, state, metrics

    stopped, before = train(compiled, 54), train(compiled, 10 * step)
    assert stopped[0] == before[0] == train(numpy_kernels, 54)[0] == step
    for actual, expected in zip(stopped[1:], before[1:], strict=True):
        np.testing.assert_array_equal(actual, expected)
    assert np.isfinite(stopped[3]).all()


@pytest.mark.parametrize("rule", ["sgd", "momentum", "adam", "adamw"])
def test_an_infinite_bias_that_never_matters(kernels, rule):
    """A unit whose bias is -inf is off for good: training goes on, and the bias stays."""
    network = NETWORKS["two hidden"]
    x, targets = _data(network, 30)
    params = network.init(np.random.default_rng(0))
    network.views(params)[0][1][5] = -np.inf
    options = make_options(
        rule.replace("momentum", "sgd"), batch_size=10,
        momentum=0.9 if rule == "momentum" else 0.0,
    )  # fmt: skip
    state, layers, metrics = make_state(options, params), network.layers(), np.zeros(3)
    workspace = np.zeros(kernels.workspace_size(layers, 10, len(state)), np.float32)
    done = kernels.train_steps(
        x, targets, NONE, np.arange(30), np.full(3, 0.01), layers, options, 0, params, state,
        NONE, workspace, metrics,
    )  # fmt: skip
    assert done == 3
    assert network.views(params)[0][1][5] == -np.inf
    assert not np.isnan(params).any()
    assert np.isfinite(state).all()
