"""What a batch is gathered from, what it must be, and what each step teaches."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..images import draw_images
from ..step import Expected, Ladder, Lesson, Special
from .arguments import row_bytes

__all__ = ["LADDER", "LESSONS"]

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
        arguments = _call(*inputs)
        yield Special(shape, words, arguments, expected(*arguments))


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


# Vectors and words of every step less one, exact and one more; primes; the images of MNIST;
# enough for two threads; nothing.
EDGES = (
    (1, 1, 1), (2, 3, 5), (3, 7, 2), (1, 8, 9), (5, 9, 4), (4, 15, 7), (3, 16, 3), (6, 17, 5),
    (5, 31, 8), (7, 33, 6), (3, 63, 5), (2, 64, 5), (9, 65, 11), (4, 127, 4), (5, 128, 3),
    (3, 129, 300), (33, 784, 40), (2600, 790, 50), (0, 5, 3),
)  # fmt: skip

_LESSONS = (
    Lesson(
        "python loops",
        idea="i.",
        why="w.",
        expect="e.",
        read="r",
    ),
    *(
        Lesson(name, "i.", "w.", "e.", "r", vectors=vectors)
        for name, vectors in (
            ("naive loops", False), ("row by row", False), ("two loops", False), ("bits", True),
            ("instruction set", True), ("prefetch", True),
        )
    ),
    Lesson(
        "production", "i.", "w.", "e.", "r",
        shape=(8192, 784, 60_000),
        threaded=True,
        vectors=True,
    ),
)

LESSONS = {lesson.name: lesson for lesson in _LESSONS}

LADDER = Ladder(
    name="gather",
    title="gather, a batch of B images of D bytes as float32, and which are not zero",
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
