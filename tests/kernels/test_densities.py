"""Data of every density, and columns of zeros: the compiled steps against the reference.

A compiled backend may leave out whatever is zero. Each case is trained with float64 by the
reference, and must come to the same bits with zeros skipped and multiplied, on one thread and on
several, and in one call and in many.
"""

import numpy as np
import pytest
from problems import NONE, Problem
from tolerances import assert_relative

from mnistcore.kernels import layout, numpy_kernels
from mnistcore.kernels import threads as teams
from mnistcore.models.network import Network
from mnistcore.training.optimizers import make_options

pytestmark = pytest.mark.slow

DENSITIES = (0.0, 0.01, 0.05, 0.19, 0.3, 0.5, 0.6, 0.7, 0.9, 1.0)
INPUTS = (1, 2, 3, 15, 16, 17, 63, 64, 65, 127, 128, 129, 784)
UNITS = (1, 10, 16, 17, 32, 33, 50, 100, 128, 129, 500)
BATCHES = (8, 16, 13, 33, 64)
RULES = {
    "sgd": {"optimizer": "sgd"},
    "sgd with decay": {"optimizer": "sgd", "weight_decay": 0.02},
    "momentum": {"optimizer": "sgd", "momentum": 0.9},
    "nesterov with decay": {"optimizer": "sgd", "momentum": 0.8, "nesterov": True,
                            "weight_decay": 0.01},
    "adam": {"optimizer": "adam"},
    "adam with decay": {"optimizer": "adam", "weight_decay": 0.02, "beta1": 0.8},
    "adamw": {"optimizer": "adamw", "weight_decay": 0.05, "beta2": 0.99, "eps": 1e-6},
}  # fmt: skip
RATES = {"sgd": 0.05, "adam": 0.002, "adamw": 0.002}
BOUND = 2e-4  # relative to the norm of the parameters


@pytest.fixture(autouse=True)
def _eager_team(monkeypatch):
    monkeypatch.setattr(teams, "WORTHWHILE", 0)


def make_problem(network, x, rule, batch_size, **options):
    """Train once on all samples, in their order."""
    rng = np.random.default_rng(len(x))
    targets = rng.integers(0, network.layer_sizes[-1], len(x)).astype(np.int32)
    scale = 1 / 255 if x.dtype == np.uint8 else 1.0
    options = {"batch_size": batch_size, "seed": 7, "scale": scale} | rule | options
    rates = RATES[rule["optimizer"]] * (0.5 + np.arange(-(-len(x) // batch_size)) % 3)
    params = network.init(rng) + np.float32(0.01)
    return Problem(network, make_options(**options), x, targets, np.arange(len(x)), rates, params)


def ways(problem, threads):
    """In which a problem must come to the same bits."""
    steps = len(problem.rates)
    cuts = [(1,), (1, steps - 1), range(1, steps)]
    return [
        {"skip_zeros": False},
        {"skip_zeros": False, "threads": threads[-1]},
        {"cuts": cuts[steps % 3]},
        *({"threads": n} for n in threads),
        {"threads": threads[0], "cuts": cuts[2]},
    ]


def check(problem, kernels, threads=(2, 3, 4), bound=BOUND):
    problem.check(kernels, ways(problem, threads), bound)


def _values(shape, density, images, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.integers(1, 256, shape).astype(np.uint8)
    x[rng.random(shape) >= density] = 0
    return x if images else x / np.float32(255) * np.float32(1.5) - np.float32(0.25) * (x > 0)


# ---------------------------------------------------------------------------------------------
# Every density and size
# ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("inputs", INPUTS)
def test_every_density_and_size(compiled, inputs):
    """Every other number of units with each number of inputs; the rest takes turns."""
    turn = INPUTS.index(inputs)
    cases = list(enumerate(UNITS, turn // 2))[turn % 2 :: 2]
    for case, units in cases:
        density = DENSITIES[(3 * case) % len(DENSITIES)]
        rule = list(RULES.values())[(2 * case + inputs) % len(RULES)]
        batch = BATCHES[case % len(BATCHES)]
        sizes = (inputs, units, 10) if case % 3 else (inputs, units, 17, 4)
        network = Network(sizes, ("relu", "tanh")[case % 2], 0.25 * (case % 4 == 1))
        x = _values((3 * batch + 1, inputs), density, images=case % 5 < 3, seed=case)
        check(make_problem(network, x, rule, batch), compiled, threads=(2 + case % 3,))


@pytest.mark.parametrize("images", [True, False], ids=["uint8", "float32"])
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
@pytest.mark.parametrize("sizes", [(784, 10, 10), (65, 50, 33, 10)], ids=str)
def test_every_density_and_rule(compiled, sizes, rule, images):
    """Also the last batch of one row, of another density than those before."""
    for case, density in enumerate(DENSITIES):
        x = _values((3 * 16 + 1, sizes[0]), density, images, seed=case)
        x[-1:] = _values((1, sizes[0]), DENSITIES[-1 - case], images)
        network = Network(sizes, "tanh", 0.3 * (case % 2))
        check(make_problem(network, x, rule, 16), compiled, threads=(2 + case % 3,))


# ---------------------------------------------------------------------------------------------
# Rows and columns of zeros
# ---------------------------------------------------------------------------------------------

STEPS = 7


def _seldom(step, column):
    """Columns with gaps of other lengths: seen in steps 0, 3, 6, in 1 and 5, in 4 alone, ..."""
    return (step * (column % 5 + 1) + column) % 4 == 0


PATTERNS = {  # whether a column is zero in a step's batch
    "all columns": lambda step, column, n: step >= 0,
    "the first half, always": lambda step, column, n: column < n // 2,
    "every third, always": lambda step, column, n: column % 3 == 0,
    "all but the first column": lambda step, column, n: column > 0,
    "all but the last column": lambda step, column, n: column < n - 1,
    "all in alternate batches": lambda step, column, n: step % 2 == 0,
    "all but a few, in turns": lambda step, column, n: ~_seldom(step, column),
    "half in alternate batches": lambda step, column, n: (step + column) % 2 == 0,
    "a third until the last batch": lambda step, column, n: (column % 3 == 0) & (step < STEPS - 1),
    "all until the last batch": lambda step, column, n: step < STEPS - 1,
    "most after the first batch": lambda step, column, n: (column % 4 > 0) & (step > 0),
    "all after the first batch": lambda step, column, n: step > 0,
    "a half between first and last": lambda step, column, n: (
        (column >= n // 2) & (step > 0) & (step < STEPS - 1)
    ),
}


def _with_columns_of_zeros(pattern, inputs, batch, images, density=0.4):
    """STEPS batches, the last of one row."""
    x = _values(((STEPS - 1) * batch + 1, inputs), density, images)
    x[-1] = _values(inputs, 1.0, images)
    steps = np.arange(len(x))[:, None] // batch
    x[np.broadcast_to(PATTERNS[pattern](steps, np.arange(inputs), inputs), x.shape)] = 0
    return x


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
@pytest.mark.parametrize("pattern", PATTERNS)
def test_columns_of_zeros(compiled, pattern, rule):
    """Of two networks, which rules and patterns take in turns."""
    turn = (list(PATTERNS).index(pattern) + list(RULES.values()).index(rule)) % 2
    sizes = [(784, 10, 10), (129, 128, 10), (17, 33, 16, 10), (100, 100, 5)]
    for case, (size, batch) in list(enumerate(zip(sizes, (32, 64, 9, 16), strict=True)))[turn::2]:
        x = _with_columns_of_zeros(pattern, size[0], batch, images=case % 2 == 0)
        network = Network(size, ("tanh", "relu")[case % 2], 0.2 * (case == 2))
        check(make_problem(network, x, rule, batch), compiled, threads=(2 + case % 3,))


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
@pytest.mark.parametrize("pattern", ["all columns", "all but a few, in turns"])
def test_columns_of_zeros_with_a_state_from_other_data(compiled, pattern, rule):
    """A column that is never seen still moves, if the state that training goes on from moves it."""
    for sizes in [(784, 10, 10), (70, 50, 10)]:
        problem = make_problem(
            Network(sizes, "tanh"), _with_columns_of_zeros(pattern, sizes[0], 16, True), rule, 16
        )
        rng = np.random.default_rng(5)
        problem.state[...] = np.square(rng.normal(size=problem.state.shape)) * 1e-3
        if len(problem.state):
            problem.state[0] *= rng.choice([-1, -1, 0, 1], size=problem.state.shape[1])
        check(problem, compiled)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
@pytest.mark.parametrize("images", [True, False], ids=["uint8", "float32"])
def test_rows_of_zeros(compiled, rule, images):
    for case, sizes in enumerate([(784, 10, 10), (129, 50, 10), (15, 17, 3)]):
        x = _values((5 * 24 + 1, sizes[0]), 0.5, images)
        rows = [np.arange(len(x)) % 8 < 7, np.arange(len(x)) < 60, np.arange(len(x)) % 3 == 0][case]
        x[rows] = 0
        check(make_problem(Network(sizes, "tanh"), x, rule, 24), compiled)


@pytest.mark.parametrize("name", ["momentum", "adam", "adam with decay", "adamw"])
def test_a_column_that_comes_back_after_many_steps(compiled, name):
    """Moments fall below the smallest normal number meanwhile."""
    rule = RULES[name] | ({"momentum": 0.4} if name == "momentum" else {"beta1": 0.4, "beta2": 0.6})
    for sizes in [(784, 10, 10), (40, 33, 5)]:
        x = _values((300 * 2, sizes[0]), 0.5, images=True)
        x[2:-2, ::2] = 0
        x[20:400, 1::4] = 0
        problem = make_problem(Network(sizes, "tanh"), x, rule, 2)
        problem.rates /= 20
        check(problem, compiled, threads=(2,), bound=1e-3)


# ---------------------------------------------------------------------------------------------
# Values other than ordinary numbers
# ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
def test_zeros_of_either_sign_and_numbers_close_to_zero(compiled, rule):
    for sizes in [(784, 10, 10), (50, 33, 5)]:
        x = _values((5 * 16 + 1, sizes[0]), 0.4, images=False)
        rng = np.random.default_rng(1)
        x[(x == 0) & (rng.random(x.shape) < 0.5)] = -0.0
        x[:, ::7] = rng.choice([0.0, -0.0, 1e-42, -1e-42, 1e-30], size=x[:, ::7].shape)
        x[:, 3::9] = -0.0
        problem = make_problem(Network(sizes, "tanh"), x, rule, 16)
        problem.params[::5] = -0.0
        check(problem, compiled)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
def test_inputs_that_are_shifted_are_dense(compiled, rule):
    """Standardized images, and images that the first layer shifts: a column may be constant."""
    for sizes in [(784, 10, 10), (64, 50, 5)]:
        network = Network(sizes, "tanh")
        x = _with_columns_of_zeros("every third, always", sizes[0], 16, images=True)
        check(make_problem(network, x, rule, 16, shift=-0.3), compiled, threads=(3,))
        floats = (x / np.float32(255) - x.mean() / np.float32(255)) / np.float32(0.3)
        check(make_problem(network, floats.astype(np.float32), rule, 16), compiled, threads=(2,))
        check(make_problem(network, x, rule, 16, scale=-1 / 255, shift=0.0), compiled, threads=(4,))


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan], ids=str)
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
def test_a_weight_that_is_not_finite_is_not_skipped(compiled, rule, value):
    """Zero times infinity is not a number: no step is made, and nothing changes."""
    for sizes in [(784, 10, 10), (50, 33, 5)]:
        problem = make_problem(
            Network(sizes, "tanh"), _values((40, sizes[0]), 0.2, images=True), rule, 16
        )
        problem.x[:, 5] = 0
        problem.network.views(problem.params)[0][0][5, 1] = value
        trained = problem.check_bits(compiled, ways(problem, (2, 3, 4)))
        assert trained.steps == 0
        assert problem.train(numpy_kernels, dtype=np.float64).steps == 0
        np.testing.assert_array_equal(trained.params, problem.params)
        assert not trained.state.any()
        assert not trained.metrics.any()


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
@pytest.mark.parametrize("images", [True, False], ids=["uint8", "float32"])
def test_training_that_stops_has_updated_columns_of_zeros(compiled, rule, images):
    """Where a loss is not finite, columns that have been zero for some steps are up to date."""
    for sizes in [(784, 10, 10), (50, 33, 5)]:
        x = _with_columns_of_zeros("most after the first batch", sizes[0], 16, images)
        problem = make_problem(Network(sizes, "tanh"), x, rule, 16)
        problem.weights = np.ones(len(x), np.float32)
        problem.weights[4 * 16 + 3] = np.inf
        actual = problem.check_bits(compiled, ways(problem, (2, 3, 4)))
        expected = problem.train(numpy_kernels, dtype=np.float64)
        assert actual.steps == expected.steps == 4
        assert_relative(actual.params, expected.params, BOUND)


# ---------------------------------------------------------------------------------------------
# The other programs
# ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("images", [True, False], ids=["uint8", "float32"])
@pytest.mark.parametrize("density", DENSITIES)
def test_gradients_and_predictions(compiled, density, images):
    """One row alone, some, and more than a batch's; unseen columns have a gradient of zero."""
    for inputs, units in [(784, 10), (129, 33), (17, 100), (3, 500)]:
        network = Network((inputs, units, 10), "tanh")
        params, layers = network.init(np.random.default_rng(1)) + np.float32(0.01), network.layers()
        for rows in (1, 9, 70):
            x = _values((rows, inputs), density, images, seed=rows)
            x[:, inputs // 2] = 0
            exact_x = x if images else x.astype(np.float64)
            targets = np.arange(rows, dtype=np.int32) % 10
            options = make_options(scale=0.01)
            gradient = np.full_like(params, np.nan)
            size = compiled.workspace_size(layers, rows, 1)
            loss = compiled.loss_and_gradient(
                x, targets, NONE, params, layers, options, np.full(size, np.nan, np.float32),
                gradient,
            )  # fmt: skip
            exact = np.empty(params.shape)
            wide = params.astype(np.float64)
            exact_loss = numpy_kernels.loss_and_gradient(
                exact_x, targets, NONE.astype(np.float64), wide, layers, options,
                np.zeros(numpy_kernels.workspace_size(layers, rows, 1)), exact,
            )  # fmt: skip
            assert loss == pytest.approx(exact_loss, rel=1e-5)
            assert_relative(gradient, exact, 1e-4)  # it nearly cancels where all is zero
            assert not network.views(gradient)[0][0][inputs // 2].any()
            logits = network.forward(compiled, params, x, 0.01)
            expected = network.forward(numpy_kernels, wide, exact_x, 0.01)
            assert_relative(logits, expected, 1e-5)
            predictor = network.predictor(compiled, params, 0.01)
            np.testing.assert_array_equal(predictor.forward(x), logits)


@pytest.mark.parametrize(
    ("share", "wanted"), [(0.0, layout.SKIP_ALL), (0.5, layout.SKIP_ALL), (0.9, layout.SKIP_HIDDEN)]
)
@pytest.mark.parametrize("n", [1, 7, 8, 9, 1000])
def test_dense_inputs_are_not_searched_for_zeros(share, wanted, n):
    x = np.zeros((n, 100), np.float32)
    x[:, : int(100 * share)] = 1
    params = np.ones(3, np.float32)
    assert layout.skipped_zeros(make_options(), params, x) == wanted
    assert layout.skipped_zeros(make_options(skip_zeros=False), params, x) == layout.SKIP_NOTHING
