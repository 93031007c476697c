"""Whole training steps: gradients, and every backend against the reference in float64."""

import itertools
from concurrent.futures import ThreadPoolExecutor

import naive
import numpy as np
import pytest
from problems import UNCOMPILED, Problem, assert_alike
from tolerances import assert_relative

from mnistcore import set_num_threads
from mnistcore.kernels import numpy_kernels
from mnistcore.kernels import threads as teams
from mnistcore.models.network import Network
from mnistcore.training.optimizers import make_options, make_state

NETWORKS = {
    "one layer": Network((5, 3)),
    "784-10-10": Network((784, 10, 10), "tanh"),
    "two hidden": Network((20, 33, 17, 10), "relu"),
    "odd": Network((7, 1, 31, 16, 2), "logistic"),
    "linear": Network((9, 14, 4), "identity"),
    "wide classes": Network((12, 40, 70), "tanh"),
    "dropout": Network((30, 64, 33, 10), "relu", 0.3),
    "dropout of tanh": Network((30, 15, 5), "tanh", 0.5),
    "dropout of logistic": Network((30, 15, 13, 5), "logistic", (0.0, 0.4)),
    "normalised": Network((20, 33, 17, 10), "relu", batch_norm=True),
    "normalised, wide": Network((40, 130, 64, 10), "relu", 0.3, batch_norm=True),
    "normalised tanh": Network((30, 5, 4), "tanh", batch_norm=True),
}
PLAIN = [name for name, network in NETWORKS.items() if not network.batch_norm]
OPTIMIZERS = {
    "sgd": {"optimizer": "sgd", "momentum": 0.0},
    "momentum": {"optimizer": "sgd", "momentum": 0.9},
    "nesterov": {"optimizer": "sgd", "momentum": 0.9, "nesterov": True},
    "sgd with decay": {"optimizer": "sgd", "weight_decay": 0.02},
    "adam": {"optimizer": "adam"},
    "adam with decay": {"optimizer": "adam", "weight_decay": 0.02, "beta1": 0.8},
    "adamw": {"optimizer": "adamw", "weight_decay": 0.05, "beta2": 0.99, "eps": 1e-6},
}
# Options that add something to the update of a step.
MORE = {
    "max-norm": {"max_norm": 0.4},
    "average": {"ema_decay": 0.8},
    "clipping": {"clip_norm": 0.3},
    "all": {"max_norm": 0.6, "ema_decay": 0.95, "clip_norm": 0.5},
}
RATES = {"sgd": 0.1, "adam": 0.002, "adamw": 0.002}
# Uncompiled, a step of hundreds of tests takes up to half a second: three steps are enough.
SAMPLES, PASSES = (23, 1) if UNCOMPILED else (57, 2)


def _data(network, n, *, images, sparse=True, seed=0):
    """Samples with columns of zeros, as MNIST has; uint8 images or floats."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 256, (n, network.layer_sizes[0])).astype(np.uint8)
    if sparse:
        x[rng.random(x.shape) < 0.8] = 0
        x[:, :: max(3, x.shape[1] // 5)] = 0
    targets = rng.integers(0, network.layer_sizes[-1], n).astype(np.int32)
    return (x if images else (x / np.float32(255)).astype(np.float32)), targets


def _soft(targets, classes):
    """Rows of probabilities: some one-hot, with zeros in others, the largest often the label's."""
    rng = np.random.default_rng(9)
    rows = rng.dirichlet(np.full(classes, 0.3), len(targets))
    rows[rng.random(rows.shape) < 0.2] = 0
    rows += 0.5 * np.eye(classes)[targets] + 1e-3
    rows[::5] = np.eye(classes)[targets[::5]]
    return (rows / rows.sum(axis=1, keepdims=True)).astype(np.float32)


def _train(
    kernels, network, rule, *, n=SAMPLES, batch_size=10, passes=PASSES, dtype=np.float32, **how
):
    """Some passes over a small data set, by the steps of all of them."""
    images = how.get("images", True)
    x, targets = _data(network, n, images=images)
    if how.get("soft"):
        targets = _soft(targets, network.layer_sizes[-1])
    rng = np.random.default_rng(1)
    weights = rng.uniform(0.2, 2, n if how.get("weighted") else 0).astype(np.float32)
    options = make_options(
        **rule, batch_size=batch_size, seed=11, scale=1 / 255 if images else 1.0,
        shift=how.get("shift", 0.0), label_smoothing=how.get("smoothing", 0.0),
        **how.get("more", {}),
    )  # fmt: skip
    params = network.init(np.random.default_rng(2), dtype=np.float32)
    params += np.float32(0.01)  # biases other than zero
    rates = np.full(-(-n // batch_size), RATES[rule["optimizer"]])
    problem = Problem(network, options, x, targets, np.arange(n), rates, params, weights)
    metrics = 0
    for epoch in range(passes):
        problem.options["epoch"] = epoch
        problem.order = np.random.default_rng([3, epoch]).permutation(n)
        trained = problem.train(kernels, dtype=dtype)
        problem.params, problem.state, problem.buffers = (
            trained.params, trained.state, trained.buffers
        )  # fmt: skip
        problem.first_step += trained.steps
        metrics = metrics + trained.metrics
    return trained._replace(metrics=metrics, steps=problem.first_step)


def _compare(kernels, network, rule, bound=2e-5, **how):
    expected = _train(numpy_kernels, network, rule, dtype=np.float64, **how)
    assert_alike(_train(kernels, network, rule, **how), expected, bound)


@pytest.mark.parametrize("rule", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())
@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS.keys())
def test_steps_match_the_reference(compiled, network, rule):
    _compare(compiled, network, rule)


CIRCUMSTANCES = [
    dict(zip(("images", "weighted", "shift", "batch_size"), values, strict=True))
    for values in itertools.product((True, False), (True, False), (0.0, -0.4), (1, 16, 33, 100))
]


@pytest.mark.parametrize("how", CIRCUMSTANCES, ids=str)
@pytest.mark.parametrize("name", ["two hidden", "dropout of tanh"])
def test_circumstances_match_the_reference(compiled, name, how):
    _compare(compiled, NETWORKS[name], OPTIMIZERS["adam with decay"], 1e-4, passes=1, **how)


@pytest.mark.parametrize("batch_size", [1, 2, 13, 14, 15, 29, 31, 32, 33, 57])
def test_every_batch_size_matches_the_reference(kernels, batch_size):
    network, rule = NETWORKS["two hidden"], OPTIMIZERS["nesterov"]
    _compare(kernels, network, rule, n=57, batch_size=batch_size, passes=1, bound=1e-4)


@pytest.mark.parametrize("batch_size", [1, 4, 15, 31, 33, 57])
def test_every_batch_size_is_normalised_as_in_the_reference(kernels, batch_size):
    network, rule = NETWORKS["normalised, wide"], OPTIMIZERS["sgd"]
    _compare(kernels, network, rule, n=57, batch_size=batch_size, passes=1, bound=1e-3)


@pytest.mark.parametrize("smoothing", [0.1, 0.9])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", ["one layer", "wide classes", "normalised, wide"])
def test_smoothed_labels_match_the_reference(compiled, name, weighted, smoothing):
    network, rule = NETWORKS[name], OPTIMIZERS["adamw"]
    _compare(compiled, network, rule, weighted=weighted, smoothing=smoothing, bound=1e-4)


@pytest.mark.parametrize("rule", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())
@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS.keys())
def test_soft_targets_match_the_reference(compiled, network, rule):
    _compare(compiled, network, rule, soft=True, passes=1, bound=1e-4)


SPREADS = [
    dict(zip(("weighted", "images", "smoothing", "batch_size"), values, strict=True))
    for values in itertools.product((True, False), (True, False), (0.0, 0.3), (1, 16, 33, 100))
]


@pytest.mark.parametrize("how", SPREADS, ids=str)
@pytest.mark.parametrize("name", ["784-10-10", "wide classes"])
def test_circumstances_of_soft_targets_match_the_reference(compiled, name, how):
    _compare(compiled, NETWORKS[name], OPTIMIZERS["adamw"], 1e-4, passes=1, soft=True, **how)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("classes", [3, 40])
def test_the_loss_of_spread_targets_by_definition(kernels, classes, soft, smoothing):
    """The cross-entropy of softmax with (1 - s) t + s / C, where t is one-hot for a label."""
    network = Network((4, classes))
    x, targets = _data(network, 6, images=False)
    params = network.init(np.random.default_rng(0))
    logits = network.forward(kernels, params, x).astype(np.float64)
    log_probs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    given = _soft(targets, classes) if soft else np.eye(classes)[targets]
    spread = (1 - smoothing) * given + smoothing / classes
    gradient, options = np.empty_like(params), make_options(label_smoothing=smoothing)
    workspace = np.zeros(kernels.workspace_size(network.layers(), 6, 1), np.float32)
    loss = kernels.loss_and_gradient(
        x, given if soft else targets, np.zeros(0, np.float32), params, network.layers(), options,
        workspace, gradient,
    )  # fmt: skip
    assert loss == pytest.approx(-(spread * log_probs).sum(axis=1).mean(), rel=1e-5)
    bias_gradient = (np.exp(log_probs) - spread).mean(axis=0)
    np.testing.assert_allclose(network.views(gradient)[0][1], bias_gradient, atol=1e-6)


@pytest.mark.parametrize("name", ["one layer", "784-10-10", "wide classes", "normalised, wide"])
def test_one_hot_targets_are_labels(kernels, name):
    network = NETWORKS[name]
    x, labels = _data(network, 23, images=True)
    rows = np.eye(network.layer_sizes[-1], dtype=np.float32)[labels]
    none, params = np.zeros(0, np.float32), network.init(np.random.default_rng(5))
    (loss, gradient), (soft_loss, soft_gradient) = (
        _gradient(kernels, network, params, x, targets, none, np.float32)
        for targets in (labels, rows)
    )
    assert soft_loss == pytest.approx(loss, rel=1e-5)
    assert_relative(soft_gradient, gradient.astype(np.float64), 1e-5)


def _one_step(kernels, network, x, targets, params, buffers, options, order=None):
    """Make one step with the rows of ``order``; return how many were made."""
    order = np.arange(len(x)) if order is None else order
    layers, state = network.layers(), make_state(options, params)
    workspace = np.zeros(kernels.workspace_size(layers, len(x), len(state)), np.float32)
    return kernels.train_steps(
        x, targets, np.zeros(0, np.float32), order, np.array([0.1]), layers, options, 0, params,
        state, buffers, workspace, np.zeros(3),
    )  # fmt: skip


def test_running_statistics_by_definition(kernels):
    """Means, and unbiased variances, of what the first hidden layer would pass on."""
    network = Network((20, 33, 10), batch_norm=True)
    x, targets = _data(network, 25, images=False)
    params, buffers = network.init(np.random.default_rng(0)), network.init_buffers()
    z = x.astype(np.float64) @ network.views(params)[0][0]
    options = make_options("sgd", batch_size=25, norm_momentum=0.25)
    assert _one_step(kernels, network, x, targets, params, buffers, options) == 1
    np.testing.assert_allclose(buffers[:33], 0.25 * z.mean(axis=0), rtol=1e-4, atol=1e-6)
    expected = 0.75 + 0.25 * z.var(axis=0, ddof=1)
    np.testing.assert_allclose(buffers[33:], expected, rtol=1e-5)


def test_a_single_row_leaves_the_running_statistics_alone(kernels):
    network = Network((20, 33, 10), batch_norm=True)
    x, targets = _data(network, 25, images=False)
    params, buffers = network.init(np.random.default_rng(0)), network.init_buffers()
    options = make_options("sgd", batch_size=25)
    _one_step(kernels, network, x, targets, params, buffers, options, np.arange(1))
    assert (buffers == network.init_buffers()).all()


def test_a_loss_that_is_not_finite_leaves_the_running_statistics_alone(kernels):
    network = Network((20, 33, 10), batch_norm=True)
    x, targets = _data(network, 25, images=False)
    params, buffers = network.init(np.random.default_rng(0)), network.init_buffers()
    x[3, 4] = np.inf
    options = make_options("sgd", batch_size=25)
    assert _one_step(kernels, network, x, targets, params, buffers, options) == 0
    assert (buffers == network.init_buffers()).all()


def test_a_folded_network_computes_what_the_normalised_one_does(kernels):
    network = NETWORKS["normalised"]
    x, _ = _data(network, 25, images=False)
    rng = np.random.default_rng(0)
    params = network.init(rng) + rng.normal(0, 0.1, network.n_params).astype(np.float32)
    buffers = rng.uniform(0.1, 2, 2 * (33 + 17)).astype(np.float32)
    a, first = x.astype(np.float64), 0
    for (w, b), units in zip(network.views(params), (33, 17, 0), strict=True):
        a = a @ w
        if units:
            end = int(np.flatnonzero(params == b[0])[0]) + units
            gain, span = params[end : end + units], slice(first, first + units)
            deviation = np.sqrt(buffers[50:][span] + 0.01)
            a, first = np.maximum((a - buffers[span]) / deviation * gain + b, 0), first + units
        else:
            a = a + b
    folded = network.folded(params, buffers, 0.01)
    assert_relative(network.plain.forward(kernels, folded, x), a, 1e-5)


def test_a_normalised_network_is_not_used_for_prediction(kernels):
    network = NETWORKS["normalised"]
    params = network.init(np.random.default_rng(0))
    with pytest.raises(ValueError, match="fold the batch normalisation"):
        network.forward(kernels, params, np.zeros((2, 20), np.uint8))
    with pytest.raises(ValueError, match="fold the batch normalisation"):
        network.predictor(kernels, params)


@pytest.mark.parametrize("name", NETWORKS)
def test_bits_do_not_depend_on_threads(compiled, name, monkeypatch):
    monkeypatch.setattr(teams, "WORTHWHILE", 0)  # a team even for work as small as this
    for soft in (False, True):
        results = []
        for threads in (1, 2, 3, 4):
            set_num_threads(threads)
            trained = _train(compiled, NETWORKS[name], OPTIMIZERS["adam"], soft=soft)
            results.append(tuple(a.tobytes() for a in trained if isinstance(a, np.ndarray)))
        assert len(set(results)) == 1


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("rows", [3, 15, 150])
def test_predicted_bits_do_not_depend_on_threads(compiled, name, rows, monkeypatch):
    for worth in ("WORTHWHILE", "WORTHWHILE_TASKS"):
        monkeypatch.setattr(teams, worth, 0)
    network = NETWORKS[name]
    x, _ = _data(network, rows, images=True)
    params, layers = network.init(np.random.default_rng(0)), network.layers()
    shape = rows, network.layer_sizes[-1]
    expected = np.empty(shape, np.float64)
    numpy_kernels.forward(x, params.astype(np.float64), layers, 1 / 255, 0.0, np.zeros(0), expected)
    results = []
    for threads in (1, 2, 3, 4):
        set_num_threads(threads)
        predictor = compiled.Predictor(params, layers, 1 / 255, 0.0)
        for _ in range(2):  # members asleep, then at the desk
            logits = np.full(shape, np.nan, np.float32)
            predictor(x, logits)
            results.append(logits.tobytes())
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-5)
    assert len(set(results)) == 1


def test_a_run_repeats_itself(kernels):
    runs = [_train(kernels, NETWORKS["dropout"], OPTIMIZERS["adamw"]) for _ in range(2)]
    for one, other in zip(*runs, strict=True):
        np.testing.assert_array_equal(one, other)


def _cut_at(kernels, network, cuts, n, more):
    """The bytes of parameters and state after an epoch of n samples that is cut at some batches."""
    x, targets = _data(network, n, images=True)
    options = make_options("adam", batch_size=8, scale=1 / 255, **more)
    layers, order, rates = network.layers(), np.arange(n)[::-1].copy(), np.full(cuts[-1], 1e-3)
    params = network.init(np.random.default_rng(0))
    state, metrics = make_state(options, params), np.zeros(3)
    workspace = np.zeros(kernels.workspace_size(layers, 8, len(state)), np.float32)
    for first, stop in itertools.pairwise(cuts):
        kernels.train_steps(
            x, targets, np.zeros(0, np.float32), order[8 * first : 8 * stop],
            rates[first:stop], layers, options, first, params, state,
            np.zeros(0, np.float32), workspace, metrics,
        )  # fmt: skip
    return params.tobytes(), state.tobytes()


def test_slices_of_an_epoch_are_the_epoch(kernels):
    """Cutting the order at batch boundaries changes nothing, to the bit."""
    every = [0, 8], [0, 3, 8], [0, 1, 2, 7, 8]
    results = [_cut_at(kernels, NETWORKS["dropout"], cuts, 57, {}) for cuts in every]
    assert len(set(results)) == 1


@pytest.mark.parametrize("more", MORE.values(), ids=MORE)
@pytest.mark.parametrize("rule", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("name", NETWORKS)
def test_update_options_match_the_reference(compiled, name, rule, more):
    _compare(compiled, NETWORKS[name], rule, more=more, passes=1)


@pytest.mark.parametrize("more", MORE.values(), ids=MORE)
@pytest.mark.parametrize("batch_size", [1, 16, 57])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", ["two hidden", "normalised, wide"])
def test_update_options_in_circumstances(compiled, name, weighted, batch_size, more):
    how = {"weighted": weighted, "batch_size": batch_size, "smoothing": 0.1, "images": weighted}
    _compare(compiled, NETWORKS[name], OPTIMIZERS["adamw"], 1e-3, passes=1, more=more, **how)


@pytest.mark.parametrize("more", MORE.values(), ids=MORE)
@pytest.mark.parametrize("name", NETWORKS)
def test_bits_of_update_options_do_not_depend_on_threads(compiled, name, more, monkeypatch):
    results = []
    monkeypatch.setattr(teams, "WORTHWHILE", 0)  # a team even for work as small as this
    for threads in (1, 2, 3, 4):
        set_num_threads(threads)
        params, state, metrics, _, buffers = _train(
            compiled, NETWORKS[name], OPTIMIZERS["adam"], more=more
        )
        results.append(tuple(a.tobytes() for a in (params, state, metrics, buffers)))
    assert len(set(results)) == 1


@pytest.mark.parametrize("more", MORE.values(), ids=MORE)
@pytest.mark.parametrize("name", ["784-10-10", "dropout"])
def test_slices_of_an_epoch_with_update_options(kernels, name, more):
    every = [0, 20], [0, 7, 20], [0, 1, 2, 8, 16, 17, 20]
    results = [_cut_at(kernels, NETWORKS[name], cuts, 157, more) for cuts in every]
    assert len(set(results)) == 1


@pytest.mark.parametrize("more", MORE.values(), ids=MORE)
def test_update_options_leave_the_gradient(kernels, more):
    """They act on updates alone."""
    network = NETWORKS["two hidden"]
    x, targets = _data(network, 23, images=True)
    params, layers = network.init(np.random.default_rng(5)), network.layers()
    results = []
    for given in (more, {}):
        gradient, options = np.empty_like(params), make_options(scale=1 / 255, **given)
        workspace = np.zeros(kernels.workspace_size(layers, 23, 1), np.float32)
        none = np.zeros(0, np.float32)
        kernels.loss_and_gradient(x, targets, none, params, layers, options, workspace, gradient)
        results.append(gradient.tobytes())
    assert results[0] == results[1]


@pytest.mark.parametrize("name", ["784-10-10", "wide classes", "normalised, wide"])
def test_no_norm_exceeds_its_limit(kernels, name):
    """Some weights reach it, the biases have none, and smaller weights are left alone."""
    network, rule = NETWORKS[name], {"optimizer": "sgd"}
    params = _train(kernels, network, rule, more={"max_norm": 0.3})[0]
    norms = np.concatenate([np.linalg.norm(w, axis=0) for w, _ in network.views(params)])
    assert norms.max() == pytest.approx(0.3, rel=1e-5)
    loose, free = (_train(kernels, network, rule, more={"max_norm": n})[0] for n in (1e6, 0.0))
    np.testing.assert_allclose(loose, free, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["784-10-10", "normalised, wide"])
@pytest.mark.parametrize("rule", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_the_average_of_the_parameters_changes_nothing_else(kernels, name, rule):
    network, decay = NETWORKS[name], 0.7
    params, state, metrics, _, _ = _train(kernels, network, rule, more={"ema_decay": decay})
    plain, plain_state, plain_metrics, _, _ = _train(kernels, network, rule)
    assert params.tobytes() == plain.tobytes()
    assert state[:-1].tobytes() == plain_state.tobytes()
    np.testing.assert_array_equal(metrics, plain_metrics)


def test_the_average_of_the_parameters_is_that_of_its_definition(kernels):
    network, decay = NETWORKS["two hidden"], 0.6
    x, targets = _data(network, 40, images=True)
    options = make_options("sgd", batch_size=10, scale=1 / 255, ema_decay=decay)
    layers, params = network.layers(), network.init(np.random.default_rng(0))
    state, average = make_state(options, params), params.astype(np.float64)
    none = np.zeros(0, np.float32)
    workspace = np.zeros(kernels.workspace_size(layers, 10, 1), np.float32)
    np.testing.assert_array_equal(state, params[None])
    for step in range(20):
        kernels.train_steps(
            x, targets, none, np.arange(10) + step % 4 * 10, np.array([0.1]), layers, options,
            step, params, state, none, workspace, np.zeros(3),
        )  # fmt: skip
        if step in (7, 15):
            kept = min(decay, (step + 2) / (step + 11)) ** 8
            average = kept * average + (1 - kept) * params
        np.testing.assert_allclose(state[0], average, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("rule", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("name", ["two hidden", "wide classes", "normalised, wide"])
def test_a_limit_that_no_gradient_reaches_changes_nothing(kernels, name, rule):
    """Not a bit: the gradient that is written first is the one that would be applied at once."""
    network = NETWORKS[name]
    free, limited = (_train(kernels, network, rule, more={"clip_norm": n}) for n in (0.0, 1e6))
    for one, other in zip(free, limited, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", ["784-10-10", "two hidden", "normalised, wide"])
def test_a_long_gradient_shrinks_to_the_limit(kernels, name):
    """A step of descent is as long as the limit says, in the direction of the gradient."""
    network, limit = NETWORKS[name], 0.01
    layers, params = network.layers(), network.init(np.random.default_rng(5))
    x, targets = _data(network, 23, images=True)
    none, buffers = np.zeros(0, np.float32), network.init_buffers()
    options = make_options("sgd", batch_size=23, scale=1 / 255, seed=3, clip_norm=limit)
    workspace = np.zeros(kernels.workspace_size(layers, 23, 1), np.float32)
    samples, old, gradient = np.arange(23), params.copy(), np.empty_like(params)
    kernels.loss_and_gradient(x, targets, none, params, layers, options, workspace, gradient)
    kernels.train_steps(
        x, targets, none, samples, np.array([1.0]), layers, options, 0, params,
        make_state(options, params), buffers, workspace, np.zeros(3),
    )  # fmt: skip
    assert np.linalg.norm(gradient) > 2 * limit
    expected = gradient * (limit / np.linalg.norm(gradient))
    np.testing.assert_allclose(old - params, expected, rtol=1e-3, atol=3e-7)


def _gradient(kernels, network, params, x, targets, weights, workspace_of):
    options = make_options(seed=5, scale=1 / 255)
    gradient = np.full_like(params, np.nan)
    size = kernels.workspace_size(network.layers(), len(x), 1)
    loss = kernels.loss_and_gradient(
        x, targets, weights, params, network.layers(), options,
        np.full(size, np.nan, workspace_of), gradient,
    )  # fmt: skip
    return loss, gradient


@pytest.mark.parametrize("name", NETWORKS)
def test_gradient_is_that_of_the_reference(kernels, name):
    network = NETWORKS[name]
    x, targets = _data(network, 23, images=True)
    weights = np.random.default_rng(4).uniform(0.5, 2, 23)
    params = network.init(np.random.default_rng(5), dtype=np.float64) + 0.01
    loss, exact = _gradient(numpy_kernels, network, params, x, targets, weights, np.float32)
    single = params.astype(np.float32), x, targets, weights.astype(np.float32)
    actual_loss, actual = _gradient(kernels, network, *single, np.float32)
    assert abs(actual_loss - loss) < 1e-5 * abs(loss)
    assert_relative(actual, exact, 1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_gradient_of_the_reference_against_central_differences(name):
    """Along random directions: (loss(p + h d) - loss(p - h d)) / 2h, in float64."""
    network = NETWORKS[name]
    x, targets = _data(network, 11, images=True, sparse=False)
    rng = np.random.default_rng(6)
    weights = rng.uniform(0.5, 2, 11)
    params = network.init(rng, dtype=np.float64) + 0.01
    _, gradient = _gradient(numpy_kernels, network, params, x, targets, weights, np.float32)
    step = 1e-6
    for _ in range(3):
        direction = rng.normal(size=params.shape)
        direction /= np.linalg.norm(direction)
        ends = [
            _gradient(
                numpy_kernels, network, params + sign * step * direction, x, targets, weights,
                np.float32,
            )[0]
            for sign in (1, -1)
        ]  # fmt: skip
        slope = (ends[0] - ends[1]) / (2 * step)
        assert abs(slope - gradient @ direction) < 1e-6 * max(1.0, np.linalg.norm(gradient))


def test_gradient_of_a_network_worked_by_hand(kernels):
    """2-2-2, ReLU, one sample: every number below can be followed with a pencil."""
    network = Network((2, 2, 2), "relu")
    params = np.zeros(network.n_params, np.float32)
    (w1, b1), (w2, b2) = network.views(params)
    w1[...], b1[...] = [[1, -1], [2, 1]], [0, 1]
    w2[...], b2[...] = [[1, 0], [1, 2]], [-3, 0]
    x, label = np.array([[1, 1]], np.float32), np.array([0], np.int32)
    # z1 = (1 + 2, -1 + 1 + 1) = (3, 1); logits = (3 + 1 - 3, 2) = (1, 2)
    p = 1 / (1 + np.e)  # of class 0
    dlogits = np.array([p - 1, 1 - p])
    da = np.array([dlogits[0], dlogits[0] + 2 * dlogits[1]])  # both units are active
    expected = np.concatenate([da, da, da, 3 * dlogits, dlogits, dlogits])
    gradient = np.full_like(params, np.nan)
    layers, options = network.layers(), make_options()
    workspace = np.empty(kernels.workspace_size(layers, 1, 1), np.float32)
    loss = kernels.loss_and_gradient(
        x, label, np.zeros(0, np.float32), params, layers, options, workspace, gradient
    )
    assert abs(loss + np.log(p)) < 1e-6
    np.testing.assert_allclose(gradient, expected, rtol=1e-5)


@pytest.mark.parametrize("rule", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())
@pytest.mark.parametrize("weighted", [False, True])
def test_clipped_probs_bound_the_loss_and_leave_the_gradient(kernels, rule, weighted):
    network, clip, n = NETWORKS["two hidden"], 1e-3, 57
    x, targets = _data(network, n, images=True)
    weights = np.random.default_rng(1).uniform(0.2, 2, n if weighted else 0).astype(np.float32)
    layers, none = network.layers(), np.zeros(0, np.float32)
    results = {}
    for bound in (0.0, clip):
        options = make_options(**rule, batch_size=n, seed=1, scale=0.3, probs_clip=bound)
        params = network.init(np.random.default_rng(2))
        state, metrics, gradient = make_state(options, params), np.zeros(3), np.empty_like(params)
        room = np.zeros(kernels.workspace_size(layers, n, max(len(state), 1)), np.float32)
        loss = kernels.loss_and_gradient(
            x, targets, weights, params, layers, options, room, gradient
        )
        logits = network.forward(kernels, params, x, 0.3).astype(np.float64)
        room = np.zeros(kernels.workspace_size(layers, n, len(state)), np.float32)
        kernels.train_steps(
            x, targets, weights, np.arange(n), np.full(1, 0.1), layers, options, 0, params, state,
            none, room, metrics,
        )  # fmt: skip
        results[bound] = gradient.tobytes(), params.tobytes(), state.tobytes()
    assert results[0.0] == results[clip]
    probs = np.exp(logits - logits.max(axis=1, keepdims=True))
    probs = (probs / probs.sum(axis=1, keepdims=True))[np.arange(n), targets]
    assert (probs < clip).any()
    assert (probs > 1 - clip).any()
    expected = np.average(
        -np.log(np.clip(probs, clip, 1 - clip)), weights=weights if weighted else None
    )
    assert loss == pytest.approx(expected, rel=1e-5)
    assert metrics[0] / metrics[1] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("n", [1, 2, 15, 100, 301])
def test_forward(kernels, name, n):
    network = NETWORKS[name]
    x, _ = _data(network, n, images=True)
    params = network.init(np.random.default_rng(7)) + np.float32(0.01)
    exact = network.forward(numpy_kernels, params.astype(np.float64), x, 1 / 255)
    assert_relative(network.forward(kernels, params, x, 1 / 255), exact, 1e-5)
    floats = (x / 255).astype(np.float32)
    assert_relative(network.forward(kernels, params, floats), exact, 1e-5)
    shifted = network.forward(numpy_kernels, params.astype(np.float64), x, 1 / 255, -0.3)
    assert_relative(network.forward(kernels, params, x, 1 / 255, -0.3), shifted, 1e-5)


@pytest.mark.parametrize("name", ["one layer", "784-10-10", "two hidden", "wide classes"])
@pytest.mark.parametrize("images", [True, False])
def test_a_predictor_computes_the_bits_of_forward(kernels, name, images):
    network = NETWORKS[name]
    params = network.init(np.random.default_rng(0))
    scale = 1 / 255 if images else 1.0
    predictor = network.predictor(kernels, params, scale)
    for n in (0, 1, 2, 14, 15, 40, 500 if kernels is not numpy_kernels else 20):
        x, _ = _data(network, n, images=images)
        expected = network.forward(kernels, params, x, scale)
        if kernels is numpy_kernels:  # BLAS rounds otherwise for other shapes
            assert_relative(predictor.forward(x), expected.astype(np.float64), 1e-5)
        else:
            np.testing.assert_array_equal(predictor.forward(x), expected)
        if n:
            np.testing.assert_array_equal(predictor.predict(x), expected.argmax(axis=1))
            np.testing.assert_allclose(predictor.predict_proba(x).sum(axis=1), 1, rtol=1e-5)


def test_a_predictor_keeps_the_parameters_it_was_made_of(kernels):
    network = NETWORKS["two hidden"]
    params = network.init(np.random.default_rng(0))
    x, _ = _data(network, 3, images=True)
    predictor = network.predictor(kernels, params, 1 / 255)
    before = predictor.forward(x)
    params[:] = np.nan
    np.testing.assert_array_equal(predictor.forward(x), before)
    assert np.isnan(network.predictor(kernels, params, 1 / 255).forward(0 * x)).all()


def test_threads_share_a_predictor(kernels):
    network = NETWORKS["784-10-10"]
    predictor = network.predictor(kernels, network.init(np.random.default_rng(0)), 1 / 255)
    inputs = [_data(network, n, images=True, seed=n)[0] for n in (1, 2, 3, 5, 20, 100)]
    expected = [predictor.forward(x) for x in inputs]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(10):
            for logits, wanted in zip(pool.map(predictor.forward, inputs), expected, strict=True):
                np.testing.assert_array_equal(logits, wanted)


def test_forward_of_no_rows(kernels):
    network = NETWORKS["two hidden"]
    params = network.init(np.random.default_rng(0))
    assert network.forward(kernels, params, np.zeros((0, 20), np.uint8)).shape == (0, 10)


@pytest.mark.parametrize("bad_step", [0, 2, 5])
def test_a_loss_that_is_not_finite_stops_before_its_update(kernels, bad_step):
    network = NETWORKS["two hidden"]
    x, targets = _data(network, 60, images=False)
    x[10 * bad_step + 3, 1] = np.nan
    options, layers = make_options("sgd", batch_size=10), network.layers()
    rates, none = np.full(6, 0.1), np.zeros(0, np.float32)
    workspace = np.zeros(kernels.workspace_size(layers, 10, 0), np.float32)

    def run(n, params):
        metrics = np.zeros(3)
        done = kernels.train_steps(
            x, targets, none, np.arange(n), rates[: n // 10], layers, options, 0, params,
            make_state(options, params), none, workspace, metrics,
        )  # fmt: skip
        return done, metrics

    stopped = network.init(np.random.default_rng(0))
    done, metrics = run(60, stopped)
    assert done == bad_step
    assert metrics[1] == 10 * bad_step
    assert np.isfinite(metrics).all()
    before = network.init(np.random.default_rng(0))
    run(10 * bad_step, before)
    np.testing.assert_array_equal(stopped, before)


def test_hits_are_counted_as_argmax_counts_them(kernels):
    """With equal logits the first class is the prediction."""
    network = Network((3, 4))
    layers, options = network.layers(), make_options("sgd", batch_size=8)
    params, none = np.zeros(network.n_params, np.float32), np.zeros(0, np.float32)
    metrics = np.zeros(3)
    kernels.train_steps(
        np.zeros((8, 3), np.uint8), np.array([0, 0, 0, 1, 1, 2, 3, 3], np.int32), none,
        np.arange(8), np.zeros(1), layers, options, 0, params, np.zeros((0, params.size), "f4"),
        none, np.zeros(kernels.workspace_size(layers, 8, 0), np.float32), metrics,
    )  # fmt: skip
    np.testing.assert_allclose(metrics, [8 * np.log(4), 8, 3], rtol=1e-6)


SOFT = np.full((60, 10), 0.1, np.float32)
BAD_PROGRAM_CALLS = {
    "order beyond the data": {"order": np.array([0, 60])},
    "negative order": {"order": np.array([-1, 0])},
    "too few learning rates": {"learning_rates": np.zeros(0)},
    "label beyond the classes": {"targets": np.full(60, 10, np.int32)},
    "soft targets of fewer classes": {"targets": np.full((60, 5), 0.2, np.float32)},
    "soft targets of fewer rows": {"targets": SOFT[:59]},
    "soft targets of three dimensions": {"targets": SOFT[None]},
    "soft targets of float64": {"targets": SOFT.astype(np.float64)},
    "soft targets, not contiguous": {"targets": np.asfortranarray(SOFT)},
    "logits": {"targets": 3 * SOFT},
    "negative soft targets": {"targets": SOFT + np.array([-0.2, 0.2] + 8 * [0], np.float32)},
    "soft targets that are not finite": {"targets": SOFT + np.float32(np.nan)},
    "soft targets and clipped losses": {
        "targets": SOFT,
        "options": make_options(batch_size=10, probs_clip=0.1),
    },
    "x of another width": {"x": np.zeros((60, 19), np.uint8)},
    "params too short": {"params": np.zeros(5, np.float32)},
    "state without rows": {"state": np.zeros((0, 1427), np.float32)},
    "weights too short": {"sample_weight": np.ones(3, np.float32)},
    "int32 order": {"order": np.zeros(2, np.int32)},
    "float64 x": {"x": np.zeros((60, 20))},
    "a list": {"targets": [0] * 60},
}


@pytest.mark.parametrize("change", BAD_PROGRAM_CALLS.values(), ids=BAD_PROGRAM_CALLS.keys())
def test_bad_program_calls_are_refused(kernels, change):
    network = NETWORKS["two hidden"]
    x, targets = _data(network, 60, images=True)
    options, params = make_options(batch_size=10), network.init(np.random.default_rng(0))
    arguments = {
        "x": x, "targets": targets, "sample_weight": np.zeros(0, np.float32), "order": np.arange(2),
        "learning_rates": np.zeros(1), "layers": network.layers(), "options": options,
        "first_step": 0,
        "params": params, "state": make_state(options, params), "buffers": np.zeros(0, np.float32),
        "workspace": np.zeros(kernels.workspace_size(network.layers(), 10, 2), np.float32),
        "metrics": np.zeros(3),
    }  # fmt: skip
    arguments |= change
    before = params.copy()
    with pytest.raises((ValueError, TypeError)) as caught:
        kernels.train_steps(**arguments)
    assert str(caught.value).startswith("train_steps: ")
    np.testing.assert_array_equal(params, before)


def test_a_workspace_that_is_too_small_is_refused(compiled):
    network = NETWORKS["two hidden"]
    with pytest.raises(ValueError, match="workspace must hold at least"):
        compiled.forward(
            np.zeros((4, 20), np.uint8), network.init(np.random.default_rng(0)), network.layers(),
            1.0, 0.0, np.zeros(3, np.float32), np.zeros((4, 10), np.float32),
        )  # fmt: skip


def test_the_oracle_agrees_about_one_hidden_unit():
    """The reference against the loops of naive.py, which share no code with it."""
    network = Network((1, 1, 2), "tanh")
    params = np.array([0.7, -0.2, 1.5, -0.5, 0.1, 0.3])
    a, _ = naive.activation("tanh", 0.7 * 0.9 - 0.2)
    logits = [[1.5 * a + 0.1, -0.5 * a + 0.3]]
    np.testing.assert_allclose(
        network.forward(numpy_kernels, params, np.array([[0.9]])), logits, rtol=1e-14
    )
