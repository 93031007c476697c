"""What one update of Adam computes, how exact it must be, and what each step teaches."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..step import Expected, Ladder, Lesson, Special

BYTES = 28  # of a parameter: four float32 are read (w, g, m, v), and three written (w, m, v)
UNIT_ROUNDOFF = 2.0**-24  # of float32
SMALLEST = 2.0**-125  # below it, a result may be flushed to 0
DEAD = 0.1  # of the parameters have had no gradient yet, as those of pixels that are always 0


def draw(shape: Sequence[int], rng: np.random.Generator) -> tuple[Any, ...]:
    """Return a gradient, the constants, the number of the update, and parameters and moments.

    Early updates are drawn, in which the bias corrections are far from 1.
    """
    gradient, params, m, root = (rng.normal(0, 0.01, shape).astype(np.float32) for _ in range(4))
    dead = rng.random(shape) < DEAD
    gradient[dead] = m[dead] = root[dead] = 0
    return gradient, 1e-3, 0.9, 0.999, 1e-8, int(rng.integers(1, 30)), params, m, root * root


def expected(
    gradient: np.ndarray,
    learning_rate: float,
    beta1: float,
    beta2: float,
    eps: float,
    step: int,
    params: np.ndarray,
    m: np.ndarray,
    v: np.ndarray,
) -> Mapping[str, Expected]:
    """Return parameters and moments after the update, and how far rounding may take them.

    u is the unit roundoff of float32: every constant, product, sum, root and quotient adds one.
    """
    u, g, w = UNIT_ROUNDOFF, gradient.astype(np.float64), params.astype(np.float64)
    first, second = beta1 * m, (1 - beta1) * g
    new_m, new_v = first + second, beta2 * v.astype(np.float64) + (1 - beta2) * g * g
    of_m = 4 * u * (np.abs(first) + np.abs(second))
    root = np.sqrt(new_v / (1 - beta2**step)) + eps
    rate = learning_rate / (1 - beta1**step)
    change = rate * new_m / root
    of_params = u * np.abs(w - change) + 12 * u * np.abs(change) + rate * of_m / root
    return {
        "params": Expected(w - change, of_params + SMALLEST),
        "m": Expected(new_m, of_m + SMALLEST),
        "v": Expected(new_v, 5 * u * new_v + SMALLEST),
    }


def special(rng: np.random.Generator) -> Iterable[Special]:
    """Return updates by gradients that are not finite: they may spoil their own parameter only."""
    for value, words in ((np.inf, "an infinite"), (np.nan, "a NaN as")):
        for place in (0, 19, 36):
            arguments = draw((37,), rng)
            arguments[0][place] = value
            yield Special((37,), f"with {words} gradient", arguments)


def work(shape: Sequence[int]) -> float:
    """Return the number of bytes that must be moved."""
    return float(BYTES) * shape[0]


def operations(shape: Sequence[int]) -> float:
    """Return the number of operations: 7 for the means, a root, a division and 4 more."""
    return 13.0 * shape[0]


# Vectors of every instruction set less one, exact and one more; primes; enough for two threads.
EDGES = (
    (1,), (2,), (3,), (4,), (5,), (7,), (8,), (9,), (15,), (16,), (17,), (31,), (33,), (127,),
    (1000,), (4099,), (300_017,), (0,),
)  # fmt: skip

_LESSONS = (
    Lesson(
        "python loop",
        idea="The definition, one parameter after the other: two running means, of the gradient"
        " and of its square, both corrected for having begun at 0; the parameter moves by the"
        " first over the root of the second.",
        why="It is the slow end. Some twenty objects are made for each parameter, one for every"
        " number that is read or computed.",
        expect="One or two microseconds for a parameter, whose 28 bytes a core moves in half a"
        " nanosecond.",
        read="Kingma and Ba, Adam: A Method for Stochastic Optimization, ICLR (2015), algorithm 1",
    ),
    Lesson(
        "naive loops",
        idea="Four compiled loops, one for each line of the formula: the first moment, the second,"
        " the root, the parameter. The bias corrections become two factors, computed once.",
        why="No objects. What is left of the arithmetic are a square root and a division, which"
        " take 4 to 20 cycles each, alone or in a vector.",
        expect="Hundreds of times the speed of Python. In Numba the last loop takes most of the"
        " time: leave it out to see that.",
        read="Fog, Instruction tables, under SQRTPS and DIVPS",
    ),
    Lesson(
        "vectors",
        idea="In Numba: one option, error_model='numpy'. A division by 0 then gives inf or NaN, as"
        " NumPy's does, where Python's raises ZeroDivisionError.",
        why="Each division was preceded by a test and a way out of the loop, and a loop that may"
        " end at any element is not turned into vectors. Eight roots or divisions in a vector take"
        " little longer than one.",
        expect="Half as fast again or more. In Cython, cdivision=True says the same, and the"
        " kernels are compiled with it.",
        read="Numba manual, Performance Tips, and njit's option error_model",
    ),
    Lesson(
        "one pass",
        idea="One loop: a parameter and all that belongs to it is read, updated and written before"
        " the next one is touched.",
        why="Bandwidth. Four loops read gradient, m and v twice, and write and read the roots:"
        " 48 bytes a parameter, and 28 is what must be moved. Nothing is gained in"
        " arithmetic, which the processor does while it waits.",
        expect="48 / 28, or 1.7 times the speed, for the bytes alone; four times where the system"
        " has to hand out a large new array of roots in each call, page by page.",
        read="McCalpin, STREAM: Sustainable Memory Bandwidth in High Performance Computers (1995)",
    ),
    Lesson(
        "instruction set",
        idea="In Cython: the same source, compiled for the vector instructions of this machine.",
        why="Instructions: half as many, of which each loads and stores twice as much. In vectors"
        " of 4, a core does not come to wait for the third cache. From beyond it, where the bytes"
        " are the limit, there is less to gain.",
        expect="Twice the speed at a million parameters in the third cache, a tenth to a third more"
        " at sixteen thousand, where a call has costs of its own.",
        read="Fog, Instruction tables, under DIVPS for xmm and ymm registers",
    ),
    Lesson(
        "production",
        idea="The kernel: the parameters are divided among as many threads as the work deserves,"
        " at the ends of cache lines. What is fewer than a vector at the end goes through a copy.",
        why="One core waits for only so many cache lines at once, and cannot use all the bandwidth"
        " of the memory; two cores wait for twice as many. Nothing else is left: the bytes are"
        " the limit.",
        expect="A tenth to twice as fast with two cores that have nothing else to do, and no more"
        " with more where two use up the memory that they share. Nothing if the cores are busy.",
        read="mnistcore/kernels/_numba/updates.py and mnistcore/kernels/_cython/updates.pxi",
        threaded=True,
        vectors=True,
    ),
)

LESSONS = {lesson.name: lesson for lesson in _LESSONS}

LADDER = Ladder(
    name="adam",
    title="Adam, one update of n parameters in place",
    arguments=(
        *("gradient", "learning_rate", "beta1", "beta2", "eps", "step"),
        *("params", "m", "v"),
    ),
    outputs=("params", "m", "v"),
    sizes=("n",),
    shape=(1_000_000,),
    quick=(100_000,),
    draw=draw,
    expected=expected,
    work=work,
    unit="GB/s",
    lessons=_LESSONS,
    edges=EDGES,
    special=special,
    other=operations,
    in_place=True,
)
