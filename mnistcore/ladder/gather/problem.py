"""What a batch is gathered from, what it must be, and what each step teaches."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..images import draw_images
from ..step import Expected, Ladder, Lesson, Special
from .arguments import row_bytes

SCALE = np.float32(1 / 255)
ROUNDING = 2.0**-23  # of a product, or of a quotient by 255, in float32
DIFFERENT = 256  # images that are drawn; a data set of more repeats them
STRIDE = 7919  # a prime: from a row of one batch to that of the next


def draw(shape: Sequence[int], rng: np.random.Generator) -> tuple[Any, ...]:
    """Return images x (N, D), the order of a batch (B,), the scale, and what is written."""
    n_rows, pixels, n_images = shape
    x = draw_images(min(n_images, DIFFERENT), pixels, rng)
    if n_images > DIFFERENT:
        x = x[rng.integers(0, DIFFERENT, n_images)]
    return _call(x, rng.integers(0, n_images, n_rows), SCALE)


def _call(x: np.ndarray, order: np.ndarray, scale: np.float32) -> tuple[Any, ...]:
    """Return arguments whose outputs hold what no gather writes."""
    out = np.full((len(order), x.shape[1]), np.nan, np.float32)
    return x, order, scale, out, np.full((len(order), row_bytes(x.shape[1])), 0xAA, np.uint8)


def renew(arguments: tuple[Any, ...]) -> None:
    """Let the order be that of another batch: no batch of training is read twice in a row."""
    x, order = arguments[:2]
    order += STRIDE
    order %= len(x)


def expected(
    x: np.ndarray, order: np.ndarray, scale: np.float32, out: np.ndarray, marks: np.ndarray
) -> Mapping[str, Expected]:
    """Return the batch and its marks."""
    rows = x[order]
    values, bits = rows * np.float64(scale), np.zeros(marks.shape, np.uint8)
    bits[:, : -(-x.shape[1] // 8)] = np.packbits(rows, axis=1, bitorder="little")
    return {"out": Expected(values, ROUNDING * np.abs(values)), "marks": Expected(bits, 0.0)}


def special(rng: np.random.Generator) -> Iterable[Special]:
    """Return batches that no data set is likely to give."""
    shape = (9, 150, 20)
    x, order = draw(shape, rng)[:2]
    cases = {
        "of blank images": (np.zeros_like(x), order, SCALE),
        "of images without a zero": (np.maximum(x, 1), order, SCALE),
        "of the same image each time": (x, np.full_like(order, 3), SCALE),
        "of the last images first": (x, np.arange(19, 10, -1), SCALE),
        "with a negative scale": (x, order, np.float32(-0.3)),
        "with an odd bit in each image": (_lone_pixels(shape), np.arange(9), SCALE),
    }
    for words, inputs in cases.items():
        yield Special(shape, words, _call(*inputs))


def _lone_pixels(shape: Sequence[int]) -> np.ndarray:
    """Return images with one pixel each: at the ends of bytes and words."""
    x = np.zeros((shape[2], shape[1]), np.uint8)
    x[np.arange(9), [0, 7, 8, 63, 64, 127, 128, 148, 149]] = 255
    return x


def work(shape: Sequence[int]) -> float:
    """Return the bytes that must be moved: a pixel, a float, the order and the marks."""
    n_rows, pixels, _ = shape
    return float(n_rows) * (5 * pixels + 8 + row_bytes(pixels))


def operations(shape: Sequence[int]) -> float:
    """Return the number of multiplications."""
    return float(shape[0]) * shape[1]


# Vectors and words of every step less one, exact and one more; primes; MNIST's images; nothing.
EDGES = (
    (1, 1, 1), (2, 3, 5), (3, 7, 2), (1, 8, 9), (5, 9, 4), (4, 15, 7), (3, 16, 3), (6, 17, 5),
    (5, 31, 8), (7, 33, 6), (3, 63, 5), (2, 64, 5), (9, 65, 11), (4, 127, 4), (5, 128, 3),
    (3, 129, 300), (33, 784, 40), (0, 5, 3),
)  # fmt: skip

_LESSONS = (
    Lesson(
        "python loops",
        idea="The definition: a batch is the rows of x that the order names. Each pixel, a byte,"
        " becomes a float times the scale; a bit for each pixel says whether it is not zero.",
        why="It is the slow end. Reading one element of an array makes an object, as does the"
        " product, and the bit of a mark is read, changed and written through three more.",
        expect="Half a microsecond a pixel, whose five bytes a core moves in a tenth of a"
        " nanosecond.",
        read="mnistcore.kernels.numpy_kernels.train_steps, whose first lines gather a batch",
    ),
    Lesson(
        "naive loops",
        idea="The same, compiled. The loop over pixels is outside, the loop over images inside: a"
        " pixel of all images, then the next pixel of all.",
        why="No objects. But neighbours in the inner loop lie a whole image apart in both arrays,"
        " so each of them is in a cache line of its own, of which one byte or float is used.",
        expect="A hundred times the speed of Python: 4 nanoseconds a pixel.",
        read="Drepper, What Every Programmer Should Know About Memory (2007), chapter 6.2.1",
    ),
    Lesson(
        "row by row",
        idea="The loops change places: all pixels of an image, then those of the next one.",
        why="Lines: 64 pixels in a row, and 16 floats, share a line that is fetched once and stays"
        " in the L1 cache until it is done with.",
        expect="Twice the speed where the batch stays in a cache, four times where it does not: try"
        " --shape 4096 784 60000.",
        read="Drepper (2007), chapter 3.3.2",
    ),
    Lesson(
        "two loops",
        idea="Two loops over a row instead of one: the first only converts, the second only marks,"
        " and writes a byte of marks once, not eight times.",
        why="Branches. The compiler makes vectors of a loop without a condition: eight bytes are"
        " widened, converted and multiplied by one instruction each. With `if pixel` in it, it"
        " takes one pixel at a time, and where ink begins or ends, the branch is guessed wrong.",
        expect="Twice the speed, though each row is read twice: it is in the L1 cache the second"
        " time. Leave out the marks to see that they now take two thirds of the time.",
        read="Intel 64 and IA-32 Architectures Software Developer's Manual, under PMOVZX",
    ),
    Lesson(
        "bits",
        idea="The marks of 64 pixels at once: compare a vector of bytes with zero, and collect one"
        " bit of each byte of the answer in an integer.",
        why="Instructions: two or three for 16 or 32 pixels, where a loop over bits needs three for"
        " each. Processors have an instruction for the second half, which compilers do not find by"
        " themselves.",
        expect="Twice the speed, three times if the images are in a cache. What is left is waiting"
        " for memory: try --shape 512 784 1000, where the step needs half the time.",
        read="Lemire and Langdale, Parsing Gigabytes of JSON per Second, VLDB Journal 28 (2019)",
        vectors=True,
    ),
    Lesson(
        "prefetch",
        idea="While an image is converted, ask for the one that comes four images later. The order"
        " names it long before it is needed.",
        why="Latency. The processor fetches ahead by itself only along a row that it has begun;"
        " images in random order begin where nobody expects it, so for each one it waits for the"
        " memory again. A prefetch waits for nothing, and the line arrives meanwhile.",
        expect="Twice the speed with 60,000 images; nothing with 1,000, which stay in a cache.",
        read="Drepper (2007), chapter 6.3.2",
        vectors=True,
    ),
    Lesson(
        "production",
        idea="The gather of the training program, word by word, with the rows of a large batch"
        " divided among the threads.",
        why="One core stores only so many bytes in a cycle, and waits for so many lines at once;"
        " two cores do both twice. It also counts the marks, because where most pixels are ink"
        " nothing is worth leaving out. For a few hundred rows, waking a thread takes longer than"
        " the work.",
        expect="Half as fast again with two free cores and eight thousand rows, and nothing if one"
        " of them is busy. At the ladder's shape nothing, or a tenth less than the step before,"
        " which need not count.",
        read="mnistcore/kernels/_numba/inputs.py and mnistcore/kernels/_cython/inputs.pxi",
        shape=(8192, 784, 60_000),
        threaded=True,
        vectors=True,
    ),
)

LESSONS = {lesson.name: lesson for lesson in _LESSONS}

LADDER = Ladder(
    name="gather",
    title="gather, B of N images as float32, their ink marked",
    arguments=("x", "order", "scale", "out", "marks"),
    outputs=("out", "marks"),
    sizes=("B", "D", "N"),
    shape=(512, 784, 60_000),
    quick=(512, 784, 10_000),
    draw=draw,
    expected=expected,
    work=work,
    unit="GB/s",
    lessons=_LESSONS,
    edges=EDGES,
    special=special,
    other=operations,
    renew=renew,
)
