"""What is multiplied, and what each step teaches."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from ..step import Expected, Ladder, Lesson, Special


def draw(
    shape: Sequence[int], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a (M, K), b (K, N) and out (M, N): whole numbers whose products are exact."""
    m, k, n = shape
    a, b = (rng.integers(-8, 9, size).astype(np.float32) for size in ((m, k), (k, n)))
    return a, b, np.full((m, n), np.nan, np.float32)


def expected(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> Mapping[str, Expected]:
    """Return the exact product; sums of up to 2^17 products are exact in float32 too."""
    return {"out": Expected(a.astype(np.float64) @ b.astype(np.float64), 0.0)}


ROUNDOFF = 2.0**-24


def special(rng: np.random.Generator) -> Iterator[Special]:
    """Return numbers that are rounded, and a NaN and an infinity, which may not spread."""
    m, k, n = 21, 150, 70
    a, b = (
        (rng.normal(size=size) * 10.0 ** rng.integers(-3, 4, size)).astype(np.float32)
        for size in ((m, k), (k, n))
    )
    exact, magnitude = a.astype(np.float64) @ b, np.abs(a).astype(np.float64) @ np.abs(b)
    bound = k * ROUNDOFF / (1 - k * ROUNDOFF) * magnitude  # in any order of summation
    words = "with numbers that have to be rounded in float32"
    out = np.full((m, n), np.nan, np.float32)
    yield Special((m, k, n), words, (a, b, out), {"out": Expected(exact, bound)})

    a, b, out = (np.ones(size, np.float32) for size in ((6, 5), (5, 35), (6, 35)))
    a[5, 4], b[4, 34] = np.nan, np.inf
    exact = np.full((6, 35), 5.0)
    exact[:, 34], exact[5] = np.inf, np.nan
    words = "with a NaN in the last row of a and an infinity in the last column of b"
    yield Special((6, 5, 35), words, (a, b, out), {"out": Expected(exact, 0.0)})


def work(shape: Sequence[int]) -> float:
    """Return the number of operations: a multiplication and an addition for each term."""
    m, k, n = shape
    return 2.0 * m * k * n


def moved(shape: Sequence[int]) -> float:
    """Return the bytes of a, b and out."""
    m, k, n = shape
    return 4.0 * (m * k + k * n + m * n)


GOTO = (
    "Goto and van de Geijn, Anatomy of High-Performance Matrix Multiplication, ACM Transactions on"
    " Mathematical Software 34 (2008)"
)

_LESSONS = (
    Lesson(
        "python loops",
        idea="The definition: each element of out is the sum, over k, of a[i, k] times b[k, j]."
        " Three nested loops, on lists of lists.",
        why="It is the slow end. For each multiplication, Python looks up what * means for these"
        " two objects, follows five pointers to find the numbers, and makes a new object for the"
        " result.",
        expect="A hundred nanoseconds or more for a multiplication and an addition, of which the"
        " arithmetic takes less than one.",
        read="Leiserson et al., There's plenty of room at the Top, Science 368 (2020)",
    ),
    Lesson(
        "naive loops",
        idea="The same three loops, compiled to machine code. What makes that possible are types:"
        " of the arrays, and of every variable.",
        why="No object is made and no pointer followed: one load for a, one for b, one"
        " multiply-add. Two things still hold it up. The sum is one chain: each addition waits 4"
        " cycles for the one before it, and the compiler may not split the chain over the lanes of"
        " a vector, because that changes how it is rounded. And b is read down a column: of each"
        " cache line of 64 bytes only 4 are used.",
        expect="A hundred times the speed of Python, and still less than a hundredth of the peak.",
        read="Drepper, What Every Programmer Should Know About Memory (2007), section 6.2.1",
    ),
    Lesson(
        "loop order",
        idea="The loops over j and k change places. A row of out grows term by term, and the inner"
        " loop runs along rows that lie in memory as it reads them.",
        why="Every byte of a cache line is used, and the elements of a row do not depend on each"
        " other, so the compiler computes a whole vector of them at once.",
        expect="Tens of times the speed. For each multiply-add the loop now loads two vectors and"
        " stores one: the store, one in a cycle, is the next limit.",
        read="Leiserson et al., There's plenty of room at the Top, Science 368 (2020)",
    ),
    Lesson(
        "cache blocking",
        idea="One more loop around: a block of rows of b is used for all rows of a before the next"
        " block is touched, and stays in the L2 cache meanwhile.",
        why="The step before reads all of b once for each row of a, from wherever b is; this one"
        " reads it from there once.",
        expect="Two or three times the speed where b is larger than the caches. Nothing where b"
        " fits into them: first find out what limits a loop.",
        read=GOTO,
        shape=(256, 4096, 4096),
    ),
    Lesson(
        "register tile",
        idea="Four rows by four terms of a stay in registers. What is loaded of b serves four"
        " rows, and what is loaded of out takes four terms.",
        why="Loads and stores were the limit: 8 loads and 4 stores for 16 multiply-adds, where"
        " there were 32 and 16. Registers are the first cache.",
        expect="About twice the speed.",
        read=GOTO,
    ),
    Lesson(
        "instruction set",
        idea="In Cython: the same source, compiled for the vector instructions of this machine.",
        why="A compiler that builds for every machine may assume only vectors of 4 floats and no"
        " fused multiply-add. Numba compiles for the machine that it runs on, and needs no such"
        " step.",
        expect="Two to four times the speed, with AVX2 or AVX-512.",
        read="GCC manual, x86 Options",
    ),
    Lesson(
        "vectors",
        idea="A tile of out itself stays in registers for the whole sum over k, written with"
        " vector types, because no plain loop becomes that.",
        why="Nothing is stored until the end: for each k, two vectors of b and a few numbers of a"
        " are loaded, for 12 or 16 multiply-adds. These are as many independent chains, and 8 are"
        " enough to keep two units busy during the 4 cycles that each multiply-add takes.",
        expect="Eight tenths of the peak: the multiply-add units are the limit, as they should be.",
        read=GOTO,
        shape=(240, 256, 992),
        vectors=True,
    ),
    Lesson(
        "packing",
        idea="Before a panel of columns of b is multiplied with all rows of a, it is copied to a"
        " place without gaps.",
        why="The tile reads down a column of vectors. Rows that are a power of two apart fall into"
        " the same few sets of every cache and evict each other, each row is on a page of its own,"
        " and nothing is fetched ahead. A panel is one stream of lines.",
        expect="Half as fast again where N is a power of two, and little elsewhere. Copying K N"
        " numbers costs as much as six more rows of a.",
        read=GOTO,
        vectors=True,
    ),
    Lesson(
        "edges",
        idea="The rows are divided into tiles of about equal height, each written to its place;"
        " the last panel is half as wide if that holds what is left.",
        why="A whole tile takes as long for one row as for six, and its result was copied from a"
        " buffer. Arithmetic on padding is lost.",
        expect="A few percent at a large shape; half as fast again where a tile or a panel is"
        " mostly padding, as in a layer of 40 units.",
        read="Van Zee and van de Geijn, BLIS, ACM Transactions on Mathematical Software 41 (2015)",
        shape=(13, 784, 40),
        vectors=True,
    ),
    Lesson(
        "threads",
        idea="The panels are dealt out to threads that run compiled code without the"
        " interpreter's lock.",
        why="Cores multiply what one core does: first make that fast, then divide it. Each panel"
        " belongs to one thread, so none waits for another until the end, and the bits do not"
        " depend on the number of threads.",
        expect="The speed of one core times the number of cores, less 100 microseconds to wake"
        " them.",
        read="Smith et al., Anatomy of High-Performance Many-Threaded Matrix Multiplication, IPDPS"
        " (2014)",
        threaded=True,
        vectors=True,
    ),
    Lesson(
        "tasks",
        idea="The rows are divided too: a task is a panel and a block of rows. A thread that has"
        " done one takes the next from a counter that all threads share.",
        why="Ten columns are one panel, which occupied one core while the others waited. And where"
        " tasks are dealt out beforehand, all wait for the thread that another program has"
        " disturbed; with a counter it takes fewer of them.",
        expect="As many times the speed as there are cores, for many rows and few columns.",
        read="Blumofe and Leiserson, Scheduling Multithreaded Computations by Work Stealing,"
        " Journal of the ACM 46 (1999)",
        shape=(4096, 784, 10),
        threaded=True,
        vectors=True,
    ),
    Lesson(
        "production",
        idea="The kernel that training runs on divides and multiplies like that, but its threads"
        " do not go to sleep at once: they linger a while at a desk where the next product is"
        " posted.",
        why="Waking a thread takes 50 to 150 microseconds, longer than a small product; seeing a"
        " number change in the cache takes less than one.",
        expect="Little at a large shape, twice the speed and more where a product takes as long as"
        " waking a thread.",
        read="mnistcore, docs/speed.md",
        shape=(128, 128, 256),
        threaded=True,
    ),
)

LESSONS = {lesson.name: lesson for lesson in _LESSONS}

EDGES = (
    (1, 1, 1), (1, 5, 1), (3, 1, 300), (2, 3, 5), (3, 4, 4), (4, 4, 8), (5, 9, 33), (7, 8, 16),
    (8, 16, 64), (9, 17, 65), (13, 31, 127), (16, 5, 128), (17, 65, 129), (33, 40, 10),
    (5, 130, 1030), (64, 784, 10), (0, 3, 4), (3, 4, 0), (3, 0, 5),
)  # fmt: skip

LADDER = Ladder(
    name="matmul",
    title="a matrix product, out = a @ b",
    arguments=("a", "b", "out"),
    outputs=("out",),
    sizes=("M", "K", "N"),
    shape=(128, 784, 1024),
    quick=(64, 196, 512),
    draw=draw,
    expected=expected,
    work=work,
    unit="GFLOP/s",
    lessons=_LESSONS,
    edges=EDGES,
    special=special,
    other=moved,
)
