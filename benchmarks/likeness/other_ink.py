"""Ink that is no digit, drawn by program, which the judge is trained to refuse.

Letters and signs, doodles, outlines, letters that touch, textures, and digits that are rotated,
mirrored or laid over one another. The pens are those of the built-in digits.
"""

from collections.abc import Callable
from functools import cache
from itertools import pairwise

import numpy as np

from mnistcore.data.strokes import Variant, curve_matrix, parse_variant
from mnistcore.data.synthetic import CHUNK, draw_paths
from mnistcore.pictures.frame import SIZE, in_frame

# Letters and signs, a name and strokes as in `mnistcore.data.strokes`. Those that some people write
# like a digit are left out: O, o, D and Q, I, i, l, j and J, Z and z, Y and y, S and s, b and G, B,
# g and q.
LETTERS = """
A  4,98 30,2! 60,98 / 14,62 32,62 50,62
A  4,98 12,40 30,4 50,40 58,98 / 10,60 54,60
a  52,40 26,32 8,60 16,92 40,90 54,60 54,36! 54,70 60,98
a  12,14 36,2 56,20 56,98 / 56,46 20,50 8,76 26,96 56,84
C  58,14 32,2 8,30 8,70 32,98 60,84
C  60,26 50,4 22,6 4,50 22,94 50,96 62,76
d  50,56 24,46 6,72 22,96 48,88 / 54,2 54,98
d  50,60 24,50 6,76 26,98 50,80 56,2! 56,98 68,94
E  60,4 8,4! 8,50 8,96! 60,96 / 8,50 48,50
E  54,10 24,4 18,30 40,46! 12,62 14,92 56,90
e  8,56 54,54 44,20 16,24 4,60 22,96 58,84
e  4,70 46,40 36,14 12,26 8,70 30,96 66,80
F  60,4 10,4! 10,50 10,98 / 10,48 48,48
F  4,8 66,4 / 30,6 26,98 / 12,50 52,46
f  54,12 38,2 26,24 26,98 / 6,44 48,44
f  60,14 42,0 28,40 24,100 10,120 / 8,50 52,46
H  8,2 8,98 / 56,2 56,98 / 8,50 56,50
h  10,2 10,98 / 10,62 30,44 48,56 50,98
h  8,60 30,20 22,0 12,30 12,98! 30,50 44,60 46,98 60,90
K  8,2 8,98 / 54,2 10,54! 58,98
k  10,2 10,98 / 46,44 12,70! 50,98
L  10,2 10,96! 60,96
L  40,20 28,2 20,30 18,80 4,96 20,88 66,94
M  4,98 12,2! 36,70! 60,2! 70,98
M  4,98 4,2! 40,60! 76,2! 76,98
m  6,30 8,98 / 8,48 24,32 36,50 36,98 / 36,50 54,32 68,50 68,98
m  0,60 10,34 18,98! 26,40 40,40 42,98! 52,40 66,42 66,98 80,90
N  6,98 8,2! 54,98! 56,2
n  8,30 10,98 / 10,50 34,30 52,50 54,98
n  0,60 10,34 16,98! 28,40 46,40 48,98 64,90
P  10,98 10,2! 46,6 54,28 40,48 10,50
p  10,30 10,130 / 10,44 36,32 52,60 34,92 10,84
R  10,98 10,2! 46,4 52,26 40,46 12,48! 58,98
R  14,98 18,10 / 2,20 40,0 60,20 44,44 20,50! 66,98
r  10,30 12,98 / 12,56 26,36 50,34
r  4,60 20,30 26,44 50,40 44,80 60,94
T  4,4 64,4 / 34,4 34,98
T  0,12 30,2 80,6 / 42,6 36,98
t  30,4 28,70 36,96 56,88 / 6,34 56,34
t  36,2 28,98 / 8,30 56,26
U  6,2 8,70 32,98 56,70 56,2
u  8,30 10,76 30,96 50,80 / 54,30 56,98
u  0,50 14,30 12,90 36,94 52,30! 50,90 70,84
V  4,2 30,98! 58,2
v  4,30 14,34 26,96 50,40 60,30
W  2,2 18,98! 36,30! 54,98! 72,2
w  4,30 8,90 32,92 38,40! 42,92 66,90 68,30
X  6,2 58,98 / 58,2 4,98
x  4,10 16,6 44,94 60,90 / 58,6 34,50 4,96
?  6,24 28,2 54,20 40,44 30,56 30,72 / 30,92 32,96
?  2,30 20,0 56,10 40,50 20,70 24,80 / 22,98 24,100
+  30,10 30,90 / -10,50 70,50
=  0,30 70,30 / 0,66 70,66
#  20,2 14,98 / 50,2 44,98 / 0,34 66,34 / -2,68 64,68
%  14,6 2,18 14,30 26,18 14,6 / 60,2 6,98 / 54,70 42,84 54,96 66,84 54,70
&  64,98 18,30 30,4 44,24 10,60 16,92 44,90 62,60
*  30,4 30,96 / -8,28 68,72 / 68,28 -8,72
@  44,40 28,34 22,60 42,66 50,38 56,70 84,50 50,0 4,30 10,86 60,100
$  54,18 30,10 10,26 54,66 32,90 6,80 / 32,-4 32,104
euro  58,14 34,4 14,40 20,84 58,88 / 2,42 46,42 / 2,58 44,58
arrow  0,50 100,50 / 70,30 100,50! 70,70
tick  4,56 24,96! 74,4
heart  36,98 2,40 14,8 36,30! 58,8 72,40 36,98
triangle  40,4 0,96! 80,96! 40,4
square  4,4 4,96! 96,96! 96,4! 4,4
diamond  40,2 6,50! 40,98! 74,50! 40,2
root  0,60 10,54 24,96! 44,4! 90,4
omega  4,96 24,96! 4,50 36,4 68,50 48,96! 68,96
psi  4,10 8,50 36,64 64,50 68,10 / 36,0 36,100
pi  2,14 20,4 74,6 / 22,6 16,96 / 54,6 52,80 68,96
sigma  64,8 6,4! 40,48! 4,96! 68,92
lambda  8,4 24,10 58,96 / 34,40 6,96
phi  36,20 8,34 8,66 36,80 64,66 64,34 36,20 / 36,0 36,100
infinity  50,50 22,26 0,50 22,74 50,50 78,26 100,50 78,74 50,50
zhe  4,4 64,96 / 64,4 4,96 / 34,2 34,98
sha  4,4 4,96! 40,96! 40,4! 40,96! 76,96! 76,4
yu  6,4 6,96 / 6,50 34,50 / 56,4 34,50 56,96 78,50 56,4
ya  56,98 56,2! 18,6 12,28 24,48 54,50! 8,98
i-short  6,4 8,96! 54,6! 56,96
el  4,96 20,80 28,6! 60,6! 60,96
"""

_STRAY = 0.05  # of a control point from its place: standard deviation, in heights
_SERIFS = 0.3  # the share of letters with serifs
_SLENDER = 0.45  # width over height: a doodle of less could be a 1
# Digits that are still digits, or nearly, once they are mirrored, put upside down, turned half
# around or a quarter.
_MIRRORED, _FLIPPED = (0, 1, 8), (0, 1, 3, 8)
_HALF_TURNED, _QUARTER_TURNED = (0, 1, 2, 5, 6, 8, 9), (0,)

Paths = Callable[[np.random.Generator], np.ndarray]


def draw_other_ink(
    rng: np.random.Generator, digits: np.ndarray, labels: np.ndarray, n: int
) -> np.ndarray:
    """Draw what is no digit.

    Parameters
    ----------
    rng
    digits, labels
        Digits (N, 28, 28) uint8 and what they are (N,), to be spoilt.
    n
        How many. A few more may be returned, because paths are drawn in chunks.

    Returns
    -------
    ndarray of uint8, shape (n or more, 28, 28)
        Ink is bright, in MNIST's frame.
    """
    parts = [
        _drawn(rng, _letter, int(0.36 * n)),
        _drawn(rng, _doodle, int(0.16 * n)),
        _drawn(rng, _outline, int(0.10 * n)),
        _drawn(rng, _pair, int(0.12 * n)),
        _many(lambda: _spoilt(rng, digits, labels), int(0.22 * n)),
        _many(lambda: _texture(rng), int(0.04 * n)),
    ]
    return np.concatenate(parts)


def _drawn(rng: np.random.Generator, draw: Paths, n: int) -> np.ndarray:
    """Draw n paths, or a few more to fill the last chunk."""
    images = []
    for _ in range(-(-n // CHUNK)):
        paths = np.stack([draw(rng) for _ in range(CHUNK)], axis=1, dtype=np.float32)
        images.append(draw_paths(rng, *np.ascontiguousarray(paths.transpose(2, 0, 1))))
    return np.concatenate(images)


def _many(make: Callable[[], np.ndarray | None], n: int) -> np.ndarray:
    """Call ``make`` until it has returned n images with ink; they are put in MNIST's frame."""
    images: list[np.ndarray] = []
    while len(images) < n:
        image = make()
        if image is not None and (image > 0.5).any():
            images.append(in_frame(image))
    return np.stack(images)


# Below, a path is N_POINTS equidistant points, (N_POINTS, 2), centred at (0, 0), of size 1.


@cache
def _letters() -> list[tuple[Variant, np.ndarray]]:
    lines = LETTERS.strip().splitlines()
    variants = [parse_variant(line.split(maxsplit=1)[1]) for line in lines]
    return [(v, curve_matrix(np.array(v.points), v.pieces)) for v in variants]


def _letter(rng: np.random.Generator) -> np.ndarray:
    variant, curve = _letters()[rng.integers(len(_letters()))]
    points = np.array(variant.points)
    stray = _STRAY * np.exp(0.4 * rng.standard_normal())
    points = points + stray * rng.standard_normal(points.shape)
    if rng.random() < _SERIFS:
        return _path(*_with_serifs(rng, points, variant.pieces))
    return _scaled(curve @ points)


def _with_serifs(
    rng: np.random.Generator, points: np.ndarray, pieces: list[list[int]]
) -> tuple[np.ndarray, list[list[int]]]:
    """The letter with short bars across most ends of its strokes."""
    starts, stops = {piece[0] for piece in pieces}, {piece[-1] for piece in pieces}
    half = rng.uniform(0.04, 0.16)
    points, pieces = points.copy(), list(pieces)
    for end in sorted(starts ^ stops):
        if rng.random() < 0.8:
            bar = points[end] + [[-half, rng.normal(0, 0.02)], [half, rng.normal(0, 0.02)]]
            pieces.append([len(points), len(points) + 1])
            points = np.concatenate([points, bar])
    return points, pieces


def _doodle(rng: np.random.Generator) -> np.ndarray:
    """A few random strokes, round or angular; never one that is narrow enough to be a 1."""
    while True:
        strokes = int(rng.integers(1, 5))
        points, pieces = _strokes(rng, strokes, rng.random((strokes, 2)) * 0.5 + 0.25)
        path = _path(points, pieces)
        if np.ptp(path[:, 0]) > _SLENDER * np.ptp(path[:, 1]):
            return path


def _strokes(
    rng: np.random.Generator, n: int, centres: np.ndarray, size: float = 0.5
) -> tuple[np.ndarray, list[list[int]]]:
    """Control points and pieces of n strokes around their centres."""
    points: list[np.ndarray] = []
    pieces: list[list[int]] = []
    angular = rng.random() < 0.5
    for centre in centres[:n]:
        k = int(rng.integers(2, 4 + 6 // n))
        own = list(range(len(points), len(points) + k))
        points += list(centre + size * rng.uniform(-1, 1, (k, 2)))
        pieces += [[a, b] for a, b in pairwise(own)] if angular else [own]
    return np.array(points), pieces


def _outline(rng: np.random.Generator) -> np.ndarray:
    """A closed outline, round or angular, with strokes inside it, through it or beside it."""
    corners = int(rng.integers(3, 9))
    angles = 2 * np.pi * (np.arange(corners) + rng.uniform(-0.2, 0.2, corners)) / corners
    radius = 0.5 * rng.uniform(1 - rng.uniform(0, 0.5), 1, corners)
    points = 0.5 + radius[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    points = np.concatenate([points, points[:1]])
    own = list(range(corners + 1))
    pieces = [[a, b] for a, b in pairwise(own)] if corners < 6 else [own]
    n = int(rng.integers(1, 5))
    more, after = _strokes(rng, n, rng.uniform(-0.1, 1.1, (n, 2)), rng.uniform(0.08, 0.35))
    pieces += [[index + len(points) for index in piece] for piece in after]
    return _path(np.concatenate([points, more]), pieces)


def _pair(rng: np.random.Generator) -> np.ndarray:
    """Two letters that touch or nearly do."""
    apart = np.array([rng.uniform(0.5, 0.9) / 2, 0])
    return _scaled(np.concatenate([_letter(rng)[::2] - apart, _letter(rng)[1::2] + apart]))


def _path(points: np.ndarray, pieces: list[list[int]]) -> np.ndarray:
    return _scaled(curve_matrix(points, pieces) @ points)


def _scaled(path: np.ndarray) -> np.ndarray:
    low, high = path.min(axis=0), path.max(axis=0)
    return (path - (low + high) / 2) / max((high - low).max(), 1e-3)


# Below, images are (H, W) floats in [0, 1].


def _spoilt(rng: np.random.Generator, digits: np.ndarray, labels: np.ndarray) -> np.ndarray | None:
    """A digit made unreadable; None where the result may still be read as a digit."""
    first, second = rng.integers(len(digits), size=2)
    digit, label = digits[first].astype(np.float32) / 255, labels[first]
    other = digits[second].astype(np.float32) / 255
    kind = rng.integers(6)
    if kind == 0:
        return None if label in _MIRRORED else digit[:, ::-1]
    if kind == 1:
        return None if label in _FLIPPED else digit[::-1]
    if kind == 2:
        return None if label in _HALF_TURNED else digit[::-1, ::-1]
    if kind == 3:
        return None if label in _QUARTER_TURNED else np.rot90(digit, rng.choice([1, 3]))
    if kind == 4:
        moved = np.roll(other, rng.integers(-4, 5, 2), (0, 1))
        return None if 1 in labels[[first, second]] else np.maximum(digit, moved)
    beside = int(rng.integers(10, 19))
    wide = np.pad(digit, ((0, 0), (0, beside)))
    return np.maximum(wide, np.pad(other, ((0, 0), (beside, 0))))


def _texture(rng: np.random.Generator) -> np.ndarray:
    """Low-frequency noise after a threshold: blots or veins."""
    from PIL import Image

    side = int(rng.integers(3, 9))
    noise = Image.fromarray(rng.normal(size=(side, side)).astype(np.float32))
    grey = np.asarray(noise.resize((2 * SIZE, 2 * SIZE), Image.Resampling.BICUBIC))
    if rng.random() < 0.6:
        return (np.abs(grey - rng.normal(0, 0.3)) < rng.uniform(0.1, 0.5)).astype(np.float32)
    return (grey > rng.uniform(0, 0.8)).astype(np.float32)
