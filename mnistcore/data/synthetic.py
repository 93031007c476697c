"""Handwritten digits drawn by a program, so that training needs neither files nor a network.

Every digit has its own pen and hand: a style and a shape from `mnistcore.data.strokes`, bent,
slanted and unsteady, with a pressure that varies along the stroke. It is then framed as in
MNIST: scaled to fit a box of 20 x 20 pixels with its proportions kept, and moved so that its
centre of mass is at the centre of the 28 x 28 image (Y. LeCun, L. Bottou, Y. Bengio,
P. Haffner, "Gradient-based learning applied to document recognition", 1998, section III.A). A
network trained on these digits alone reads most of MNIST.
"""

import hashlib
import operator
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from mnistcore.data import strokes
from mnistcore.data.cache import VerifiedCache
from mnistcore.data.folder import FILE_NAMES, Arrays
from mnistcore.data.idx import idx_sha256
from mnistcore.data.strokes import N_POINTS, stroke_tables
from mnistcore.system.files import replacing

__all__ = ["load_synthetic", "make_digits"]

_IMAGE, _BOX = 28, 20  # pixels
CHUNK = 500  # digits that share a generator; another value draws other digits
_MAX_THREADS = 4  # more would wait for the GIL
_TRAIN, _TEST = range(2)

# How much hands differ, as standard deviations unless said otherwise; lengths in units of the
# digit's height, those of the pen in pixels. Chosen by how well a network trained on the digits
# reads MNIST's training images.
_STRAY = 0.045  # of a control point from its position
_CARE = 0.4  # of the logarithm of _STRAY, from hand to hand
_WAVES = (3, 6)  # a slow and a faster wave bend the strokes: radians per height
_WAVE = 0.075  # amplitude of the slow one; the faster one's is smaller in proportion
_BEND = 0.22  # of curvature and taper of the whole digit
_ASPECT = 0.22  # of the logarithm of width over height
_SLANT_MEAN, _SLANT = 0.2, 0.3  # to the right, per unit of height
_TURN = 0.1  # radians
_PEN_MEDIAN, _PEN = 1.25, 0.32  # radius of the pen; of its logarithm
_PEN_MIN, _PEN_MAX = 0.6, 3.8
_PRESSURE = 0.25  # of the radius along the way, relative to it
_MAX_INK = 240  # pixels under a digit's strokes: a thicker pen would fill the loops
_EXTREME = 2.0  # draws are clipped at this many standard deviations


def make_digits(n: int, seed: int, threads: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Draw digits.

    A longer sequence begins with the same digits as a shorter one. On one machine with one
    version of NumPy the bits depend on `seed` alone.

    Parameters
    ----------
    n : int
        The number of digits. Each block of ten holds every digit once, in random order.
    seed : int
        Not negative.
    threads : int, optional
        The maximum number of threads; by default one per core, up to four.

    Returns
    -------
    images : ndarray of uint8, shape (n, 28, 28)
        Ink is bright, as in MNIST.
    labels : ndarray of int32, shape (n,)

    Raises
    ------
    TypeError
        An argument is not an integer.
    ValueError
        `n` or `seed` is negative, or `threads` is less than one.
    """
    return _draw_split(n, seed, _TRAIN, threads)


def load_synthetic(
    cache_dir: str | Path, n_train: int = 60_000, n_test: int = 10_000, seed: int = 0
) -> Arrays:
    """Load a training and a test set of drawn digits; draw them unless they are cached.

    They are kept in a folder below ``synthetic``, as IDX files with MNIST's names, and verified
    by SHA-256. The folder's name contains a hash of the program that draws, so digits of another
    version are never returned. It is not an error if the cache cannot be written.

    Parameters
    ----------
    cache_dir : str or Path
        Need not exist.
    n_train, n_test : int
        The number of digits of each set.
    seed : int
        Seed of the training set, which is ``make_digits(n_train, seed)``. The test set holds
        other digits from the same distribution.

    Returns
    -------
    Arrays
        ``train_images, train_labels, test_images, test_labels``, of the types that `make_digits`
        returns. Images are mapped from the cache, read-only, if it can be written.

    Raises
    ------
    TypeError, ValueError
        As `make_digits`.
    """
    folder = _folder(cache_dir, n_train, n_test, seed)
    return _cached(folder) or _keep(folder, n_train, n_test, seed)


def cached_sha256(
    cache_dir: str | Path, n_train: int = 60_000, n_test: int = 10_000, seed: int = 0
) -> tuple[str, ...]:
    """Return the SHA-256 of the four files that `load_synthetic` maps; empty if not cached."""
    folder = _folder(cache_dir, n_train, n_test, seed)
    return () if _cached(folder) is None else tuple(_sums(folder))


def _folder(cache_dir: str | Path, n_train: int, n_test: int, seed: int) -> Path:
    return Path(cache_dir) / "synthetic" / f"{_version()}-{n_train}-{n_test}-seed-{seed}"


def _version() -> str:
    """Return a hash of the program that draws."""
    sources = (Path(module).read_bytes() for module in (__file__, strokes.__file__))
    return hashlib.sha256(b"".join(sources)).hexdigest()[:12]


def _cached(folder: Path) -> Arrays | None:
    """Map the digits; return None if a file is missing or has changed."""
    try:
        sums = _sums(folder)
    except (OSError, ValueError, IndexError):
        return None
    arrays = VerifiedCache(folder, sums).load()
    return arrays and _with_int_labels(arrays)


def _sums(folder: Path) -> list[str]:
    return [line.split()[0] for line in (folder / "SHA256SUMS").read_text().splitlines()]


def _keep(folder: Path, n_train: int, n_test: int, seed: int) -> Arrays:
    """Draw the digits and store them in the cache if it can be written."""
    drawn = Arrays(*_draw_split(n_train, seed, _TRAIN), *_draw_split(n_test, seed, _TEST))
    written = drawn._replace(
        train_labels=drawn.train_labels.astype(np.uint8),
        test_labels=drawn.test_labels.astype(np.uint8),
    )
    sums = [idx_sha256(array) for array in written]
    kept = VerifiedCache(folder, sums).store(written)
    if kept is None:
        return drawn
    try:
        with replacing(folder / "SHA256SUMS") as file:
            lines = (f"{sha256}  {name}\n" for sha256, name in zip(sums, FILE_NAMES, strict=True))
            file.write("".join(lines).encode())
    except OSError:
        return drawn
    return _with_int_labels(kept)


def _with_int_labels(arrays: Arrays) -> Arrays:
    return arrays._replace(
        train_labels=arrays.train_labels.astype(np.int32),
        test_labels=arrays.test_labels.astype(np.int32),
    )


def _draw_split(
    n: int, seed: int, split: int, threads: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    n = _at_least(0, "n", n)
    seed = _at_least(0, "seed", seed)
    if threads is None:
        threads = min(os.cpu_count() or 1, _MAX_THREADS)
    threads = _at_least(1, "threads", threads)
    images = np.empty((n, _IMAGE, _IMAGE), np.uint8)
    labels = np.empty(n, np.int32)

    def draw(start: int) -> None:
        some_images, some_labels = _draw_chunk(seed, split, start // CHUNK)
        stop = min(start + CHUNK, n)
        images[start:stop] = some_images[: stop - start]
        labels[start:stop] = some_labels[: stop - start]

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(draw, range(0, n, CHUNK)))
    return images, labels


def _at_least(least: int, name: str, value: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} is {value!r}; it must be an integer") from None
    if number < least:
        raise ValueError(f"{name} is {number}; it must be at least {least}")
    return number


def _draw_chunk(seed: int, split: int, chunk: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw one chunk of digits. Only this function makes generators from seeds."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(split, chunk)))
    labels = rng.permuted(np.tile(np.arange(10), (CHUNK // 10, 1)), axis=1).ravel()
    return draw_paths(rng, *_write(rng, labels)), labels.astype(np.int32)


# Below, arrays of paths have the shape (N_POINTS, CHUNK), values per digit (CHUNK,).


def draw_paths(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Draw images of strokes along paths around (0, 0) of height 1, as the digits are drawn.

    Returns
    -------
    ndarray of uint8, shape (CHUNK, 28, 28)
    """
    x, y = _distort(rng, x, y)
    radius = _choose_pen(rng, x, y)
    x, y = _fit_into_box(x, y, radius)
    return _centre(_ink(x, y, radius, radius * _pressure(rng)))


def _normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    draws = rng.standard_normal((*shape, CHUNK), dtype=np.float32)
    return draws.clip(-_EXTREME, _EXTREME, out=draws)


def _write(rng: np.random.Generator, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Draw a style and a shape for every digit; return the path of its pen around (0, 0)."""
    tables = stroke_tables()
    uniform = rng.random(CHUNK, dtype=np.float32)
    style = np.searchsorted(tables.cumulative, labels + uniform, side="right")
    # Squares of normal draws over their sum are Dirichlet shares, which favour digits close to
    # one variant over averages of all.
    share = (_normal(rng, tables.has_variant.shape[1]).T ** 2 + 1e-6) * tables.has_variant[style]
    share /= share.sum(axis=1, keepdims=True)
    control = np.einsum("nv,nvkd->nkd", share, tables.control[style])
    stray = _STRAY * np.exp(_CARE * _normal(rng))
    control += (stray * _normal(rng, 2, control.shape[1])).T
    path = tables.curve[style] @ control
    x, y = np.ascontiguousarray(path.T)
    return x - 0.3, y - 0.5


def _distort(
    rng: np.random.Generator, x: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Bend, stretch, slant and turn the digits."""
    across, down = np.zeros_like(x), np.zeros_like(y)
    for frequency in _WAVES:
        kx, ky, phase_x, phase_y, amplitude_x, amplitude_y = _normal(rng, 6)
        amplitude = _WAVE * _WAVES[0] / frequency
        across += amplitude * amplitude_x * np.sin(frequency * (kx * y + ky * x / 2) + 3 * phase_x)
        down += amplitude * amplitude_y * np.sin(frequency * (ky * x + kx * y / 2) + 3 * phase_y)
    x, y = x + across, y + down
    taper, bow, growth, tilt = _BEND * _normal(rng, 4)
    x = x * (1 + 2 * taper * y) + bow * y**2
    y = y + growth * y**2 + tilt * x * y / 2
    x = x * np.exp(_ASPECT * _normal(rng))
    x = x - (_SLANT_MEAN + _SLANT * _normal(rng)) * y
    angle = _TURN * _normal(rng)
    return np.cos(angle) * x - np.sin(angle) * y, np.sin(angle) * x + np.cos(angle) * y


def _choose_pen(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Draw the radius of each digit's pen in pixels, thinner for longer strokes."""
    radius = _PEN_MEDIAN * np.exp(_PEN * _normal(rng))
    length = np.hypot(np.diff(x, axis=0), np.diff(y, axis=0)).sum(axis=0)
    length *= _BOX / np.maximum(np.ptp(x, axis=0), np.ptp(y, axis=0))
    return np.minimum(radius, _MAX_INK / (2 * length)).clip(_PEN_MIN, _PEN_MAX)


def _fit_into_box(
    x: np.ndarray, y: np.ndarray, radius: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Scale each digit so that its ink fills the box in one direction; centre it in the other."""
    scale = (_BOX - 2 * radius) / np.maximum(np.ptp(x, axis=0), np.ptp(y, axis=0))
    x, y = ((z - (z.min(axis=0) + z.max(axis=0)) / 2) * scale + _BOX / 2 for z in (x, y))
    return x, y


def _pressure(rng: np.random.Generator) -> np.ndarray:
    """Draw the radius of each pen along its path, relative to its mean."""
    t = np.linspace(0, 1, N_POINTS, dtype=np.float32)[:, None]
    strength, speed, phase = _normal(rng, 3)
    return 1 + _PRESSURE * strength * np.sin((6 + 4 * speed) * t + 3 * phase)


def _ink(x: np.ndarray, y: np.ndarray, radius: np.ndarray, pressed: np.ndarray) -> np.ndarray:
    """Return how much of each pixel of the box the pen covers, from 0 to 1: (_BOX, _BOX, n)."""
    centre = np.arange(_BOX, dtype=np.float32)[:, None] + 0.5
    power = np.full((_BOX, _BOX, x.shape[1]), np.inf, np.float32)
    at_point = np.empty_like(power)
    # Power distance: the squared distance to the nearest point, less where the pen is pressed.
    for point_x, point_y, point_radius in zip(x, y, pressed, strict=True):
        along_x = (centre - point_x) ** 2 + (radius**2 - point_radius**2)
        along_y = (centre - point_y) ** 2
        np.add(along_y[:, None], along_x, out=at_point)
        np.minimum(power, at_point, out=power)
    distance = np.sqrt(np.maximum(power, 0))
    return (radius - distance + 0.5).clip(0, 1)


def _centre(ink: np.ndarray) -> np.ndarray:
    """Place the boxes with their centre of mass at the image's centre: (n, _IMAGE, _IMAGE)."""
    index = np.arange(_BOX, dtype=np.float32)
    mass = ink.sum(axis=(0, 1))
    corner = [
        np.rint(_IMAGE / 2 - index @ ink.sum(axis=axis) / mass).clip(0, _IMAGE - _BOX).astype(int)
        for axis in (1, 0)
    ]
    top, left = (at[:, None] + np.arange(_BOX) for at in corner)
    digit = np.arange(ink.shape[2])[:, None, None]
    images = np.zeros((ink.shape[2], _IMAGE, _IMAGE), np.uint8)
    images[digit, top[:, :, None], left[:, None, :]] = np.rint(255 * ink).transpose(2, 0, 1)
    return images
