"""What is computed from logits, how exact it must be, and what each step teaches."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from ..step import Expected, Ladder, Lesson, Special

OPERATIONS = 26  # for a logit: 22 for its exponential, and a maximum, two sums, a product
UNIT_ROUNDOFF = 2.0**-24  # of float32
SMALLEST = 2.0**-125  # below it, a result may be cut off or flushed to 0


def draw(
    shape: Sequence[int], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return logits (B, C), labels (B,) and dlogits (B, C).

    Most rows are far from 0, where an exponential that is taken too early overflows or vanishes;
    in some, the logits are so far apart that the probability of the label is 0 in float32.
    """
    n_rows, n_classes = shape
    logits = rng.normal(size=(n_rows, n_classes))
    logits *= rng.choice([3, 300], (n_rows, 1), p=[0.95, 0.05])
    logits += rng.choice([-1000, 0, 1000], (n_rows, 1))
    labels = rng.integers(0, n_classes, n_rows, np.int32)
    return logits.astype(np.float32), labels, np.full(shape, np.nan, np.float32)


def expected(logits: np.ndarray, labels: np.ndarray, dlogits: np.ndarray) -> Mapping[str, Expected]:
    """Return the mean loss and its gradient, and how far rounding in float32 may take them.

    A rounded difference d from the maximum changes exp(d) by a relative d u, u being the unit
    roundoff; a sum of C terms in any order adds C u, and an exponential a few u.
    """
    rows, u = np.arange(len(labels)), UNIT_ROUNDOFF
    d = logits - logits.max(axis=1, keepdims=True).astype(np.float64)
    sums = np.exp(d).sum(axis=1, keepdims=True)
    probs = np.exp(d) / sums
    of_d = np.where(probs > 0, np.abs(d), 0)  # 0, not 0 times infinity
    of_sum = u * (logits.shape[1] + 8 + (probs * of_d).sum(axis=1, keepdims=True))
    of_probs = probs * (of_sum + u * (16 + of_d))
    losses = np.log(sums[:, 0]) - d[rows, labels]
    of_losses = of_sum[:, 0] + 4 * u * (np.log(sums[:, 0]) + np.abs(d[rows, labels]))
    probs[rows, labels] -= 1
    of_probs[rows, labels] += 3 * u
    share = 1 / max(1, len(labels))
    return {
        "result": Expected(losses.sum() * share, of_losses.sum() * share),
        "dlogits": Expected(probs * share, of_probs * share + SMALLEST),
    }


def special(rng: np.random.Generator) -> Iterable[Special]:
    """Return calls with logits that are not finite: they may spoil their own row only.

    A logit of minus infinity has probability 0, as that of a class which is ruled out. A NaN or
    infinity makes a row NaN, whose loss makes the mean NaN.
    """
    shape = n_rows, n_classes = 5, 21
    for value, words in ((-np.inf, "-inf"), (np.inf, "inf"), (np.nan, "NaN")):
        for column in (0, n_classes - 1):
            logits = rng.normal(size=shape).astype(np.float32)
            logits[2, column] = value
            arguments = logits, np.full(n_rows, 7, np.int32), np.full(shape, np.nan, np.float32)
            yield Special(shape, f"with a logit of {words}", arguments)


def work(shape: Sequence[int]) -> float:
    """Return the number of operations."""
    return float(OPERATIONS) * shape[0] * shape[1]


def moved(shape: Sequence[int]) -> float:
    """Return the bytes of logits, labels and gradient."""
    return shape[0] * (8.0 * shape[1] + 4)


STABLE = (
    "Blanchard, Higham and Higham, Accurately computing the log-sum-exp and softmax functions, IMA"
    " Journal of Numerical Analysis 41 (2021)"
)

_LESSONS = (
    Lesson(
        "python loops",
        idea="The definition: the loss of a row is the logarithm of the sum of its exponentials,"
        " less the logit of its label; the gradient is the exponentials over their sum, less 1 at"
        " the label. Two functions, each of which computes the exponentials that it needs, of the"
        " logits less the largest one.",
        why="It is the slow end. The maximum is not there for speed: exp(1000) is infinite and"
        " exp(-1000) is 0, so a row of logits near 1000 would come to inf / inf, which is NaN, and"
        " one near -1000 to 0 / 0. Less the maximum, the largest exponential is 1 and the sum at"
        " least 1. That changes nothing in exact arithmetic.",
        expect="About a microsecond a logit, of which the processor spends ten nanoseconds on two"
        " exponentials; the rest goes into objects and calls.",
        read=STABLE,
    ),
    Lesson(
        "naive loops",
        idea="The same loops, compiled, over whole arrays: one finds the maxima, one the sums, one"
        " the losses, one the gradient.",
        why="No object is made for a number, and exp is a C function that takes a few nanoseconds."
        " Two calls of it a logit are now most of the time.",
        expect="Fifty to a hundred times the speed of Python: 10 to 20 nanoseconds a logit.",
        read="The source of expf in the GNU C library, sysdeps/ieee754/flt-32/e_expf.c",
    ),
    Lesson(
        "fused gradient",
        idea="The loss needs the sum of the exponentials, and the gradient the exponentials: keep"
        " them, in the array in which the gradient will be, and multiply them once the sum is"
        " known.",
        why="Arithmetic: one exponential a logit instead of two, and one division a row instead of"
        " one a logit. Deriving the loss together with its gradient is also why no library offers"
        " softmax and the loss as separate steps only.",
        expect="Two to three times the speed.",
        read="mnistcore.kernels.numpy_kernels.softmax_cross_entropy",
    ),
    Lesson(
        "vector exp",
        idea="An exponential of our own, without calls or branches: x = n ln 2 + r, a polynomial"
        " of degree 6 for e**r, and n added to the bits of the exponent. A loop over such code"
        " becomes vectors by itself.",
        why="A call of a C function ends every hope of vectors: it takes one number. And a table"
        " or a branch on x, as the C library has it, would differ from lane to lane.",
        expect="Two to three times the speed, and less than vectors could give: the loops that"
        " find maxima and sums now take most of the time. To see it, leave one of them out.",
        read="Moshier, Cephes Mathematical Library, single/expf.c",
    ),
    Lesson(
        "instruction set",
        idea="In Cython: the same source, compiled for the vector instructions of this machine.",
        why="The polynomial is a chain of multiply-adds, which a build for every machine does as"
        " multiplications and additions in vectors of 4.",
        expect="A quarter faster, not twice: only one of five loops was limited by arithmetic.",
        read="GCC manual, x86 Options",
    ),
    Lesson(
        "lanes",
        idea="Sixteen sums instead of one: the first takes the numbers 0, 16, 32, ... of a row,"
        " the second 1, 17, 33, ...; they are added at the end. The same for the maximum.",
        why="Latency: in one sum, each addition waits three or four cycles for the one before it,"
        " though the processor could start two vectors of them in every cycle. The compiler may"
        " not do this itself, because another order of summation rounds differently.",
        expect="Half as fast again or twice as fast where rows are long. Rows of ten have no"
        " sixteen lanes to fill, and only pay for them.",
        read="Fog, Optimizing subroutines in assembly language, chapter 9.5",
    ),
    Lesson(
        "production",
        idea="The kernel that training runs on does all of it to one row before it begins the"
        " next, in vector types. The label's own term is the sum of the others, not a difference"
        " from 1.",
        why="Bandwidth: each step before reads or writes whole arrays seven times, from wherever"
        " they are; a row of a thousand logits stays in the L1 cache. With few classes Cython's"
        " kernel takes a vector of rows instead, so that each lane is a row.",
        expect="Half as fast again at the ladder's shape, up to twice as fast where the arrays fill"
        " the caches.",
        read="mnistcore/kernels/_numba/losses.py and mnistcore/kernels/_cython/losses.pxi",
        shape=(4096, 1000),
        vectors=True,
    ),
)

LESSONS = {lesson.name: lesson for lesson in _LESSONS}

# Tiles of every step and instruction set less one, exact and one more; primes; 1; nothing.
EDGES = (
    (1, 1), (1, 2), (2, 1), (3, 7), (5, 8), (7, 9), (8, 10), (9, 15), (15, 16), (16, 17), (17, 31),
    (31, 33), (5, 63), (6, 64), (13, 65), (128, 10), (3, 1000), (0, 5),
)  # fmt: skip

LADDER = Ladder(
    name="softmax",
    title="softmax-cross-entropy, the mean loss and its gradient",
    arguments=("logits", "labels", "dlogits"),
    outputs=("result", "dlogits"),
    sizes=("B", "C"),
    shape=(512, 1000),
    quick=(128, 1000),
    draw=draw,
    expected=expected,
    work=work,
    unit="GFLOP/s",
    lessons=_LESSONS,
    edges=EDGES,
    special=special,
    other=moved,
)
