"""On the real MNIST: the accuracies of the recipes, and the backends' agreement over many steps."""

import functools

import numpy as np
import pytest

from mnistcore import set_num_threads
from mnistcore.data import load_data
from mnistcore.kernels import numpy_kernels
from mnistcore.models.network import Network
from mnistcore.train import TrainConfig
from mnistcore.train import run as train_run
from mnistcore.training.optimizers import make_options, make_state
from mnistcore.training.recipes import RECIPES
from mnistcore.training.schedules import learning_rates

pytestmark = pytest.mark.slow

# Lowest and highest test accuracy of a right program: several standard deviations around the
# mean of five seeds (94.0, 98.0 and 98.4 %). Higher than the band is as suspicious as lower.
# The other recipes take minutes or hours: ``python -m benchmarks.accuracy`` runs them.
BANDS = {
    "tanh-10-10": (0.930, 0.950),
    "relu-two-hidden": (0.975, 0.985),
    "fast": (0.979, 0.988),
}
# The default recipe on both; the backends agree step by step, so one is enough for the others.
TRAINED = [
    ("numba", "tanh-10-10"),
    ("numba", "relu-two-hidden"),
    ("cython", "relu-two-hidden"),
    ("cython", "fast"),
]
# As many as take some tenths of a second: in more, more units come near to their kinks.
STEPS = {"tanh-10-10": 200, "relu-two-hidden": 100, "relu-1024-128": 50}


@pytest.fixture(scope="module")
def mnist(mnist_dir):
    return load_data("mnist", mnist_dir)


@pytest.mark.parametrize(("compiled", "recipe"), TRAINED, indirect=["compiled"])
def test_accuracy(compiled, recipe, mnist, tmp_path):
    backend = compiled.NAME
    config = TrainConfig(recipe=recipe, backend=backend, output=str(tmp_path / "run"), seed=1)
    accuracy = train_run(config, dataset=mnist).summary["test_accuracy"]
    low, high = BANDS[recipe]
    assert low <= accuracy <= high


def _train(kernels, recipe, mnist, dtype, seed):
    """Parameters, state and running sums after the STEPS of a recipe from one initialisation."""
    settings, steps = RECIPES[recipe].settings, STEPS[recipe]
    network = Network((784, *settings["hidden"], 10), settings["activation"])
    options = make_options(
        settings["optimizer"],
        batch_size=settings["batch_size"],
        weight_decay=settings["weight_decay"],
        scale=1 / 255,
    )
    params = network.init(np.random.default_rng(seed)).astype(dtype)
    state, layers = make_state(options, params), network.layers()
    x = np.ascontiguousarray(mnist.train_images.reshape(-1, 784))
    order = np.random.default_rng(1).permutation(len(x))[: steps * settings["batch_size"]]
    size = kernels.workspace_size(layers, settings["batch_size"], len(state))
    metrics, none = np.zeros(3), np.zeros(0, dtype)
    total_steps = settings["epochs"] * -(-len(x) // settings["batch_size"])
    rates = learning_rates(settings["schedule"], settings["learning_rate"], 0, steps, total_steps)
    done = kernels.train_steps(
        x, np.ascontiguousarray(mnist.train_labels), none, order, rates, layers, options, 0,
        params, state, none, np.zeros(size, np.float32), metrics,
    )  # fmt: skip
    assert done == steps
    return params, state, metrics


@pytest.fixture(scope="module")
def exact(mnist):
    """A function: parameters and running sums of the reference in float64, for all backends."""

    @functools.cache
    def train(recipe, seed):
        params, _, sums = _train(numpy_kernels, recipe, mnist, np.float64, seed)
        return params, sums

    return train


@pytest.mark.parametrize("recipe", STEPS)
def test_many_steps_agree_with_float64(compiled, recipe, mnist, exact):
    """The median of several initialisations.

    In some, NumPy's float32 included, a unit of ReLU comes so near to its kink that float32 and
    float64 take different sides, and a step differs by a whole sample.
    """
    differences = []
    for seed in range(3):
        right, sums = exact(recipe, seed)
        params, _, metrics = _train(compiled, recipe, mnist, np.float32, seed)
        differences.append(np.linalg.norm(params - right) / np.linalg.norm(right))
        np.testing.assert_allclose(metrics, sums, rtol=1e-3)
    assert np.median(differences) < 1e-5, differences


@pytest.mark.parametrize("recipe", STEPS)
def test_many_steps_have_the_same_bits_for_every_number_of_threads(compiled, recipe, mnist):
    runs = []
    for threads in (1, 2, 3, 4, 4):
        set_num_threads(threads)
        runs.append([part.tobytes() for part in _train(compiled, recipe, mnist, np.float32, 0)])
    assert all(run == runs[0] for run in runs[1:])
