"""The kernel ``augment``: what its backends share, and the reference.

An output pixel at (x, y) shows the image at ``A (x, y) + shift + e(x, y)``, by bilinear
interpolation, with zeros around the image. The matrix A rotates, shears and scales about the
middle. The elastic displacement e is a field of random numbers smoothed by a Gaussian (Simard,
Steinkraus and Platt 2003). Drawing a number for each pixel and smoothing them would take most of
the time, so numbers are drawn for the control points of a cubic B-spline (Rueckert et al. 1999):
it is a Gaussian but for a few percent, and its width fixes the distance of the points.

All of it is computed in fixed point, so that the backends agree to the bit. The few numbers that
need floating point, :func:`plan`, depend on the options alone, and all backends take them from
here.
"""

import math
from functools import lru_cache

import numpy as np

from . import checks, layout
from .layout import POSITION_BITS, TURN_BITS, WEIGHT_BITS, Augmentation, Deformation

LANES = 16  # a row of weights is a multiple of this long: whole vectors, whatever their size
WORK = 100  # multiply-adds that take as long as a pixel, to find out how many threads pay off
BLOCK_PIXELS = 256 * 784  # that the reference deforms at a time

# Standard deviation of a spline of random numbers uniform in [-1, 1], averaged over positions.
_SPREAD = math.sqrt(1 / 3) * 151 / 315
_SPLINE_WIDTH = math.sqrt(1 / 3)  # standard deviation of a cubic B-spline, in control points
_ELASTIC_LIMIT = 2**15 - 1


@lru_cache(maxsize=16)
def _plan(strengths: Augmentation, side: int) -> tuple[Deformation, np.ndarray, np.ndarray]:
    distance = strengths.smoothness * side / _SPLINE_WIDTH
    places = np.arange(side) / distance
    firsts = np.floor(places).astype(np.int32)
    controls, line = int(firsts[-1]) + 4, -(-side // LANES) * LANES
    t = places - firsts
    taps = (1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3
    weights = np.zeros((controls, line), np.int32)
    for tap, values in enumerate(taps):
        weights[firsts + tap, np.arange(side)] = np.rint(values * (2**WEIGHT_BITS / 6))
    largest = strengths.elastic * side / _SPREAD
    bits = WEIGHT_BITS
    while largest * 2**bits > _ELASTIC_LIMIT:
        bits -= 1
    one = 2.0**POSITION_BITS
    numbers = Deformation(
        side,
        controls,
        line,
        rotation=round(math.radians(strengths.rotation) * 2**TURN_BITS),
        shear=round(strengths.shear * one),
        scale=round(strengths.scale * one),
        shift=round(strengths.shift * side * one),
        thickness=round(strengths.thickness * 256),
        elastic=round(largest * 2**bits),
        elastic_bits=bits + WEIGHT_BITS - POSITION_BITS,
    )
    for array in (firsts, weights):
        array.flags.writeable = False
    return numbers, firsts, weights


def plan(options: np.ndarray, side: int) -> tuple[Deformation, np.ndarray, np.ndarray]:
    """Return the numbers, the first of four control points of each pixel, and all weights.

    Parameters
    ----------
    options
        (1,) record of :data:`.layout.AUGMENTATION_DTYPE`.
    side
        The rows and the columns of an image.

    Returns
    -------
    numbers, firsts, weights
        A :class:`.Deformation`; (side,) and (controls, line) int32, read-only.
    """
    return _plan(Augmentation(*options[0].item()), side)


def augment(
    images: np.ndarray,
    order: np.ndarray,
    options: np.ndarray,
    seed: int,
    epoch: int,
    out: np.ndarray,
) -> None:
    """Rotate, shear, scale, shift and bend the images whose numbers are in ``order``.

    images and out (N, side * side) uint8, order (n,) int64, options (1,)
    :data:`.layout.AUGMENTATION_DTYPE`. out[s] is images[s] deformed, for each s in ``order``, by
    random numbers that are a hash of (seed, epoch, s); other rows are not touched.

    Examples
    --------
    >>> import numpy as np
    >>> from mnistcore.kernels import layout, numpy_kernels
    >>> images = np.arange(9, dtype=np.uint8).reshape(1, 9)
    >>> options, out = np.zeros(1, layout.AUGMENTATION_DTYPE), np.empty_like(images)
    >>> options["smoothness"] = 0.2  # all strengths are 0
    >>> numpy_kernels.augment(images, np.array([0]), options, 0, 1, out)
    >>> bool((out == images).all())
    True
    """
    side = checks.check_augment(images, order, options, out)
    numbers, _, weights = plan(options, side)
    draws = layout.FIRST_CONTROL + 2 * numbers.controls**2
    block = max(1, BLOCK_PIXELS // max(images.shape[1], 1))
    for start in range(0, len(order), block):
        samples = order[start : start + block]
        bits = layout.random_bits(samples, draws, seed, epoch, layout.AUGMENTATION_LAYER)
        drawn = bits.view(np.int32).astype(np.int64)  # in units of 2**-31
        pixels = images[samples].reshape(-1, side, side).astype(np.int64)
        pixels = _thickened(pixels, numbers.thickness * drawn[:, layout.THICKENED] >> 31)
        x, y = _positions(numbers, drawn)
        bent_x, bent_y = _elastic(numbers, weights, drawn)
        shown = _interpolated(pixels, x + bent_x, y + bent_y)
        out[samples] = shown.reshape(len(samples), -1)


def _thickened(pixels: np.ndarray, thickness: np.ndarray) -> np.ndarray:
    """Move each pixel towards the largest of its 3 x 3 neighbours, or the smallest.

    ``pixels`` are (n, side, side), ``thickness`` (n,) in units of 2**-8: negative ones thin.
    """
    side = pixels.shape[1]
    around = np.pad(pixels, ((0, 0), (1, 1), (1, 1)))
    places = [(row, column) for row in range(3) for column in range(3)]
    neighbours = [around[:, row : row + side, column : column + side] for row, column in places]
    thickness = thickness[:, None, None]
    extreme = np.where(thickness > 0, np.max(neighbours, axis=0), np.min(neighbours, axis=0))
    return pixels + ((extreme - pixels) * np.abs(thickness) + 128 >> 8)


def _turn(angle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the cosine and sine of angles up to a right angle, by their series."""
    one, square = 1 << TURN_BITS, angle * angle >> TURN_BITS
    cosine, sine = np.full_like(angle, one), np.full_like(angle, one)
    for k in (9, 7, 5, 3, 1):
        cosine = one - (square * cosine >> TURN_BITS) // (k * (k + 1))
    for k in (8, 6, 4, 2):
        sine = one - (square * sine >> TURN_BITS) // (k * (k + 1))
    return cosine, angle * sine >> TURN_BITS


def _positions(numbers: Deformation, drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where the output pixels (n, side, side) lie in the image, without the elastic part."""
    turned, sheared, widened, heightened, *shifted = drawn[:, : layout.THICKENED].T
    cosine, sine = _turn(numbers.rotation * turned >> 31)
    width = (1 << POSITION_BITS) + (numbers.scale * widened >> 31)
    height = (1 << POSITION_BITS) + (numbers.scale * heightened >> 31)
    slant = (numbers.shear * sheared >> 31) * height >> POSITION_BITS
    matrix = (
        (cosine * width >> TURN_BITS, cosine * slant - sine * height >> TURN_BITS),
        (sine * width >> TURN_BITS, sine * slant + cosine * height >> TURN_BITS),
    )
    steps, last = np.arange(numbers.side), numbers.side - 1
    positions = []
    for (across, down), shift in zip(matrix, shifted, strict=True):
        start = (last << POSITION_BITS - 1) + (numbers.shift * shift >> 31)
        start = start - (last * (across + down) >> 1)
        rows = start[:, None] + down[:, None] * steps
        positions.append(rows[:, :, None] + across[:, None, None] * steps)
    return positions[0], positions[1]


def _elastic(
    numbers: Deformation, weights: np.ndarray, drawn: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the elastic displacements (n, side, side) along x and along y."""
    n, side = numbers.controls, numbers.side
    weights = weights[:, :side].astype(np.int64)
    controls = (drawn[:, layout.FIRST_CONTROL :] >> 16) * numbers.elastic >> 15
    across = controls.reshape(-1, 2, n, n) @ weights >> WEIGHT_BITS
    bent = weights.T @ across >> numbers.elastic_bits
    return bent[:, 0], bent[:, 1]


def _interpolated(pixels: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the images (n, side, side) at the positions, to 2**-8 of a pixel."""
    side = pixels.shape[1]
    around = np.pad(pixels, ((0, 0), (1, 2), (1, 2)))
    columns, rows = (x >> POSITION_BITS) + 1, (y >> POSITION_BITS) + 1
    columns = np.where((columns < 0) | (columns > side), side + 1, columns)
    rows = np.where((rows < 0) | (rows > side), side + 1, rows)
    x, y = (x >> POSITION_BITS - 8) & 255, (y >> POSITION_BITS - 8) & 255
    which = np.arange(len(pixels))[:, None, None]
    upper = around[which, rows, columns] * (256 - x) + around[which, rows, columns + 1] * x
    lower = around[which, rows + 1, columns] * (256 - x) + around[which, rows + 1, columns + 1] * x
    return upper * (256 - y) + lower * y + (1 << 15) >> 16
