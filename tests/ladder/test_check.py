"""A function of the reader's own is tested hard, and a right one finds its place."""

import numpy as np
import pytest

from mnistcore.ladder import LADDERS, check, load
from mnistcore.ladder.fences import Fenced
from mnistcore.ladder.verify import first_mistake, first_special_mistake

pytestmark = pytest.mark.slow

SMALL = {"shape": (9, 20, 33), "seconds": 0.05}


def right(a, b, out):
    np.matmul(a, b, out=out)


def zero(a, b, out):
    out.fill(0)


def transposed(a, b, out):
    out[...] = (a @ b).T.reshape(out.shape)


def one_row_late(a, b, out):
    out[...] = np.roll(a @ b, 1, axis=0)


def odd_column_forgotten(a, b, out):
    even = out.shape[1] // 2 * 2 or out.shape[1]
    out[:, :even] = a @ b[:, :even]


def half_precision(a, b, out):
    out[...] = 0
    for k in range(a.shape[1]):
        out[...] = (out + np.outer(a[:, k], b[k])).astype(np.float16)


def rounded_inputs(a, b, out):
    np.matmul(a.astype(np.float16).astype(np.float32), b, out=out)


def changes_an_input(a, b, out):
    np.matmul(a, b, out=out)
    b *= 2


def writes_outside(a, b, out):
    np.matmul(a, b, out=out)
    if out.size:
        after = np.lib.stride_tricks.as_strided(out, (out.size + 1,), (4,), writeable=True)
        after[-1] = 1


def stale_by_shape():
    answers = {}

    def stale(a, b, out):
        out[...] = answers.setdefault((a.shape, b.shape), a @ b)

    return stale


def stale_by_array():
    answers = {}

    def stale(a, b, out):
        if answers.get("a") is not a:
            answers.update(a=a, out=a @ b)
        out[...] = answers["out"]

    return stale


def adds_to_out(a, b, out):
    out += a @ b


def last_term_forgotten(a, b, out):
    last = max(a.shape[1] - 1, 1)
    np.matmul(a[:, :last], b[:last], out=out)


def wrong_for_one_column(a, b, out):
    np.matmul(a, b, out=out)
    if out.shape[1] == 1:
        out += 1


def zeros_multiply_what_is_not_there(a, b, out):
    terms = -(-a.shape[1] // 4) * 4
    rows = np.zeros((len(a), terms), np.float32)
    rows[:, : a.shape[1]] = a
    panel = np.full((terms, b.shape[1]), np.inf, np.float32)
    panel[: len(b)] = b
    np.matmul(rows, panel, out=out)


def infinity_lost(a, b, out):
    np.matmul(a, np.nan_to_num(b), out=out)


def returns_it(a, b, out):
    return a @ b


def raises(a, b, out):
    out[2, 0] = 1
    np.matmul(a, b, out=out)


WRONG = [
    (zero, r"out\[0, 0\] is 0, not -?\d+, at M=1 K=1 N=1"),
    (transposed, r"out\[0, 1\] is .*, at M=3 K=1 N=300"),
    (one_row_late, r"out\[0, 0\] is .*, at M=3 K=1 N=300"),
    (odd_column_forgotten, r"out\[0, 4\] is nan, not -?\d+, at M=2 K=3 N=5"),
    (half_precision, r"out\[4, 2\] is 2152, not 2151, at M=64 K=784 N=10"),
    (rounded_inputs, r"out\[0, 0\] is .*, at M=21 K=150 N=70 with numbers that have to be rounded"),
    (changes_an_input, "b was changed, which is an input, at M=1 K=1 N=1"),
    (writes_outside, "out was written after its last element, at M=1 K=1 N=1"),
    (stale_by_shape(), r"out\[0, 0\] is .*, at M=1 K=1 N=1"),
    (stale_by_array(), r"out\[0, 0\] is .*, at M=1 K=1 N=1"),
    (adds_to_out, r"out\[0, 0\] is nan, not -?\d+, at M=1 K=1 N=1"),
    (last_term_forgotten, r"out\[0, 0\] is .*, at M=1 K=5 N=1"),
    (wrong_for_one_column, r"out\[0, 0\] is .*, at M=1 K=1 N=1"),
    (zeros_multiply_what_is_not_there, r"out\[0, 0\] is nan, not -?\d+, at M=1 K=1 N=1"),
    (infinity_lost, r"out\[0, 34\] is .*, not inf, at M=6 K=5 N=35 with a NaN in the last row"),
    (returns_it, r"out\[0, 0\] is nan, .* \(what is returned is not looked at; write out\)"),
    (
        raises,
        r"test_check.py, line \d+: IndexError: index 2 is out .*, with a \(1, 1\), b \(1, 1\), out",
    ),
]


@pytest.mark.parametrize(("function", "message"), WRONG, ids=[f.__name__ for f, _ in WRONG])
def test_a_mistake_is_told_with_its_element_and_shape(function, message):
    with pytest.raises(AssertionError, match=f"{function.__name__} is wrong: {message}"):
        check(function)


@pytest.mark.parametrize("function", [lambda a, b: a @ b, print, 3], ids=["two", "print", "three"])
def test_what_cannot_be_called_so_is_refused(function):
    if function is print:  # takes anything, and is wrong
        with pytest.raises(AssertionError, match=r"print is wrong: out\[0, 0\] is nan"):
            check(function)
        return
    with pytest.raises(TypeError, match=r"the ladder matmul calls .*\(a, b, out\)"):
        check(function)


@pytest.mark.usefixtures("compiled")
def test_a_right_function_finds_its_place():
    place = check(right, **SMALL)
    assert place.function == "right"
    assert place.rate == pytest.approx(2e-9 * 9 * 20 * 33 / place.seconds)
    assert place.below
    assert place.below.rate <= place.rate
    assert place.above is None or place.above.rate > place.rate
    assert f"{place}".startswith("right is right: ")
    assert "at M=9 K=20 N=33" in repr(place)
    assert "times the speed of NumPy's BLAS" in repr(place)

    def slow(a, b, out):
        for i, j in np.ndindex(out.shape):
            out[i, j] = sum(a[i, k] * b[k, j] for k in range(len(b)))

    place = check(slow, **SMALL)
    assert place.above
    assert place.below is None
    assert "below every step; the slowest is step 1 (python loops" in f"{place}"


@pytest.mark.usefixtures("compiled")
def test_what_becomes_wrong_after_many_calls_is_wrong():
    calls = []

    def tires(a, b, out):
        calls.append(1)
        np.matmul(a, b, out=out)
        if len(calls) > 150:
            out[...] = 0

    with pytest.raises(AssertionError, match=r"out\[0, 0\] is 0, .*, at M=9 K=20 N=33"):
        check(tires, **SMALL)


@pytest.mark.parametrize("name", LADDERS)
def test_every_ladder_has_edges(name):
    ladder = load(name)
    assert all(len(shape) == len(ladder.sizes) for shape in ladder.edges)
    assert any(1 in shape for shape in ladder.edges)
    assert len(ladder.edges) > 5


@pytest.mark.parametrize("name", LADDERS)
def test_doing_nothing_is_wrong_on_every_ladder(name):
    ladder = load(name)
    assert first_mistake(ladder, lambda *arguments: None, ladder.edges)
    specials = list(ladder.special(np.random.default_rng(0)))
    assert bool(first_special_mistake(ladder, lambda *arguments: None)) == bool(specials)


def test_arguments_that_share_memory_are_left_alone():
    whole = np.zeros(4)
    assert Fenced((whole, whole[:2])).arguments[0] is whole
    assert Fenced((whole, np.ones(2))).arguments[0] is not whole
