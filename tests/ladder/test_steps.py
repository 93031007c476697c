"""Every step of the ladder: to the bit on whole numbers, within a bound otherwise."""

import re
from pathlib import Path

import numpy as np
import pytest
from tolerances import assert_product_close

from mnistcore.kernels.backends import BackendUnavailableError
from mnistcore.ladder import BACKENDS, steps
from mnistcore.ladder.step import NUMBERS

pytestmark = pytest.mark.slow

# Tiles of every step and instruction set less one, exact and one more; primes; 1; nothing.
SHAPES = [
    (1, 1, 1), (1, 5, 1), (3, 1, 300), (2, 3, 5), (3, 4, 4), (4, 4, 8), (5, 9, 33), (7, 8, 16),
    (8, 16, 64), (9, 17, 65), (13, 31, 127), (16, 5, 128), (17, 65, 129), (33, 40, 10),
    (12, 130, 1030), (64, 784, 10), (0, 3, 4), (3, 4, 0), (3, 0, 5),
]  # fmt: skip


def step_names(backend):
    """The names of the steps, where the backend is there."""
    try:
        return [step.name for step in steps(backend)]
    except BackendUnavailableError:
        return ["(not available)"]


ALL = [(backend, name) for backend in BACKENDS for name in step_names(backend)]


@pytest.fixture(params=ALL, ids=lambda pair: f"{pair[0]}-{pair[1].replace(' ', '-')}")
def step(request):
    """Each step of each backend in turn."""
    backend, name = request.param
    try:
        found = next(step for step in steps(backend) if step.name == name)
    except BackendUnavailableError as error:
        if backend in request.config.getoption("--require-backends").split(","):
            pytest.fail(str(error))
        pytest.skip(str(error))
    if backend == "numba" and name in ("vector intrinsics", "threads"):
        import numba

        if numba.config.DISABLE_JIT:
            pytest.skip("vector instructions exist in compiled code only")
    return found


def whole_numbers(rng, *shape):
    """Whole numbers so small that no product or sum of ours is rounded."""
    return rng.integers(-8, 9, shape).astype(np.float32)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))
def test_exact_on_whole_numbers(step, shape):
    m, k, n = shape
    rng = np.random.default_rng(shape)
    a, b = whole_numbers(rng, m, k), whole_numbers(rng, k, n)
    out = np.full((m, n), np.nan, np.float32)
    step.multiply(a, b, out)
    np.testing.assert_array_equal(out, a.astype(np.int64) @ b.astype(np.int64))


def test_within_the_bound_on_any_numbers(step):
    rng = np.random.default_rng(1)

    def draw(*shape):
        return (rng.normal(size=shape) * 10.0 ** rng.integers(-3, 4, shape)).astype(np.float32)

    a, b = draw(21, 150), draw(150, 70)
    out = np.full((21, 70), np.nan, np.float32)
    step.multiply(a, b, out)
    assert_product_close(out, a, b)


def test_nan_goes_where_it_belongs(step):
    """Zeros that fill a tile up must not meet it: 0 times NaN is NaN."""
    a, b = np.ones((6, 5), np.float32), np.ones((5, 35), np.float32)
    a[5, 4] = np.nan
    b[4, 34] = np.inf
    out = np.zeros((6, 35), np.float32)
    step.multiply(a, b, out)
    assert np.isnan(out[5]).all()
    assert (out[:5, :34] == 5).all()
    assert (out[:5, 34] == np.inf).all()


def test_read_only_operands_will_do(step):
    a, b = np.ones((3, 4), np.float32), np.ones((4, 5), np.float32)
    a.flags.writeable = b.flags.writeable = False
    out = np.empty((3, 5), np.float32)
    step.multiply(a, b, out)
    assert (out == 4).all()


@pytest.mark.parametrize(
    ("a", "b", "out", "error"),
    [
        (np.ones((3, 4)), np.ones((4, 5)), np.ones((3, 5)), TypeError),
        (np.ones((3, 4), "f"), np.ones((3, 5), "f"), np.ones((3, 5), "f"), ValueError),
        (np.ones((3, 4), "f"), np.ones((4, 5), "f"), np.ones((3, 4), "f"), ValueError),
        (np.ones((3, 4), "f"), np.ones((5, 4), "f").T, np.ones((3, 5), "f"), TypeError),
    ],
    ids=["float64", "terms", "columns", "strides"],
)
def test_what_does_not_fit_is_refused(step, a, b, out, error):
    with pytest.raises(error):
        step.multiply(a, b, out)


def test_every_step_explains_itself(step):
    assert len(step.idea.split()) > 15
    assert step.teaches.endswith(".")
    assert step.multiply.__doc__


def test_the_numbers_are_those_of_the_page():
    """The chapters of docs/ladder.md number the steps of both backends, in order."""
    page = (Path(__file__).parents[2] / "docs" / "ladder.md").read_text(encoding="utf-8")
    chapters = re.findall(r"^## (\d+)\. (.+)$", page, re.MULTILINE)
    assert [int(number) for number, _ in chapters] == sorted(set(NUMBERS.values()))
    for _, name in ALL:
        if name in NUMBERS:
            title = dict(chapters)[str(NUMBERS[name])].lower()
            assert name.split()[0].rstrip("s") in title
    for backend in BACKENDS:
        numbers = [NUMBERS[name] for name in step_names(backend) if name in NUMBERS]
        assert numbers == sorted(set(numbers))
