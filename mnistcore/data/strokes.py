"""Shapes of handwritten digits, as pen strokes.

A digit has several *styles* (a 7 with and without a bar), and a style several *variants*: the
same strokes through other points. A drawn digit is a mixture of the variants of one style, so
that a style covers a range of shapes.
"""

from functools import cache
from typing import NamedTuple

import numpy as np

N_POINTS = 72  # on a digit's path: at the size of MNIST's digits, about a pixel apart
_FINE = 64  # points from each control point to the next when the path is measured

# By digit. A line "weight: description" opens a style; the weight says how common it is. Then a
# line for each variant: control points "x,y" in percent of the digit's height, x to the right and
# y downwards. The pen follows a smooth curve through them; "!" makes a point a sharp corner, "/"
# lifts the pen.
STYLES = (
    """
    1.0: an oval
        38,2 14,20 4,55 20,95 45,92 62,55 55,15 34,2
        48,12 20,4 4,48 18,96 48,90 63,45 46,5 26,10
        40,2 12,18 4,60 25,98 52,82 63,45 58,18 48,6
        20,10 5,32 6,78 30,99 56,82 62,38 44,4 22,6
        66,0 34,6 6,44 14,92 46,94 62,60 54,24 30,10
        50,6 18,8 2,50 18,95 50,92 64,50 48,18 30,36
        12,20 2,60 22,98 56,88 66,50 58,14 50,6 40,16
        30,10 8,40 10,84 34,99 60,80 62,40 44,14 36,30
    1.0: a wide oval
        60,4 20,10 0,50 20,95 70,95 100,55 85,12 50,2
        44,12 16,16 0,56 24,96 70,94 88,50 70,8 34,6
    0.1: an oval with a stroke through it
        38,2 14,20 4,55 20,95 45,92 62,50 52,6! 34,44 14,84
        48,6 20,4 2,50 20,98 50,92 64,45 56,14! 44,34 30,56
    """,
    """
    4.0: a line
        50,0 50,50 50,100
        52,0 47,50 50,100
        48,0 53,50 50,100
    0.8: with a flag
        34,22 50,2! 50,50 50,100
        26,18 50,0! 51,50 50,100
        12,40 50,0! 50,50 50,100
        8,56 52,0! 51,50 50,100
    0.5: with a flag and a foot
        34,20 50,2! 50,50 50,98 / 26,98 50,98 76,97
        24,28 50,2! 50,50 50,98 / 4,98 50,98 98,98
        10,36 52,2! 50,50 48,94 / 8,100 48,96 90,92
    0.1: with a foot
        50,2 50,50 50,98 / 26,98 50,98 76,97
    """,
    """
    1.0: with a sharp corner
        6,22 22,4 45,3 58,20 48,48 25,75 4,97! 30,94 70,90
        16,32 12,14 34,2 56,16 50,44 26,72 4,94! 36,88 74,90
        8,12 24,8 44,4 58,12 44,42 24,68 4,94! 36,94 66,94
        10,26 24,4 48,6 52,26 40,50 22,74 0,92! 40,88 96,80
        12,20 28,2 50,6 56,24 46,50 26,76 6,90! 34,86 62,104
    1.5: with a loop
        8,24 24,4 52,8 56,34 38,64 16,90 4,92 10,78 34,86 52,90 76,82
        12,20 32,2 54,14 50,42 32,70 14,94 2,86 14,74 34,82 52,88 80,82
        14,16 36,0 58,14 54,44 40,70 16,90 0,80 14,64 38,70 56,86 68,100
        10,22 34,0 60,14 54,42 36,74 12,96 0,82 18,68 44,74 66,86 92,84
        4,20 18,2 40,8 40,34 26,60 8,88 0,80 12,68 36,70 66,74 100,66
        18,36 6,18 26,0 54,12 54,42 34,72 12,92 2,82 14,72 38,82 66,96
        12,16 34,0 56,14 56,32 52,46 42,72 22,97 2,86 8,64 32,62 68,100
        10,14 34,0 54,14 56,40 48,70 26,94 4,86 10,66 34,62 54,76 70,98
        8,16 30,4 50,14 48,36 40,60 24,90 2,88 4,70 26,66 50,76 84,86
        34,0 42,4 50,16 50,36 40,60 22,88 4,92 6,76 28,76 48,82 74,88
        14,20 40,0 70,14 66,42 50,64 28,90 6,94 2,78 20,64 46,74 84,94
        10,18 36,0 64,10 66,36 52,64 26,96 2,88 6,66 30,58 56,78 84,98
        6,30 20,6 50,0 68,24 54,58 30,88 6,94 0,78 16,66 44,76 80,92
    0.3: with a round corner
        8,20 32,2 56,20 44,52 16,78 10,95 30,96 66,92
        4,10 24,0 40,14 36,48 14,80 12,96 40,94 86,78
    """,
    """
    1.0: with a cusp in the middle
        8,14 30,2 52,16 44,38 17,47! 50,55 60,76 40,97 6,88
        4,10 34,4 54,22 46,40 22,46! 54,56 58,80 34,98 4,94
        8,20 26,3 48,10 42,34 8,48! 44,50 62,70 44,96 2,84
        16,10 40,2 54,14 40,34 14,44! 44,52 46,76 26,94 2,100
        10,16 32,2 56,14 48,38 18,46! 50,52 60,76 32,99 0,76
        2,14 36,0 62,22 50,50 18,56! 48,60 54,80 34,99 12,90
        14,8 34,2 46,14 36,28 16,36! 56,40 66,72 40,98 0,86
        8,14 32,2 52,16 42,36 16,46! 52,52 60,76 38,98 -2,92
        14,12 40,2 52,14 46,32 34,44! 46,56 50,76 36,92 12,98
        4,18 34,2 58,18 50,36 22,48! 46,58 52,74 34,90 14,98
        16,14 30,2 44,10 36,28 16,42! 44,46 60,66 40,96 2,84
    0.4: with a flat top
        8,6 32,5 56,4! 42,22 22,41! 54,54 60,78 36,98 4,88
        0,10 30,6 56,8! 42,26 20,43! 48,46 62,70 40,96 8,96
    0.4: with a loop or none in the middle
        8,12 32,2 52,18 40,42 14,48 20,40 50,54 60,78 36,98 6,90
        10,10 34,2 50,14 44,36 34,46 38,48 52,58 52,80 30,98 4,86
    """,
    """
    1.0: an angle and a line
        22,4 14,28 6,52! 34,54 66,50 / 52,2 50,50 48,98
        10,8 8,30 8,56! 36,56 62,54 / 56,4 54,50 52,98
        34,2 20,28 4,60! 34,62 70,56 / 50,24 46,60 42,98
        4,4 2,30 4,58! 34,60 70,56 / 64,0 62,50 62,98
    0.6: a cup and a line
        14,4 6,40 24,58 54,46 / 58,2 52,50 46,98
        6,8 2,46 26,62 66,50 / 62,0 60,50 56,98
    0.5: an open cup, in one stroke
        12,6 8,40 28,54 50,38 60,4! 56,50 48,98
        8,8 8,44 34,52 54,34 58,6! 56,50 54,98
    0.4: a triangle, closed
        54,2 28,36 4,66! 40,64 68,62 / 54,2 50,50 48,98
        40,2 20,32 2,62! 36,60 66,60 / 42,6 46,50 46,98
    0.2: with a loop in the corner
        34,6 16,34 2,58 8,64 34,56 70,50 / 54,8 46,54 40,98
        44,2 24,26 6,52 12,60 32,56 60,52 / 56,20 50,60 46,98
    """,
    """
    1.0: in one stroke
        70,4 40,5 14,6! 12,26 10,44! 40,40 58,66 38,96 4,90
        74,2 46,4 22,8! 18,24 14,42! 36,42 50,68 32,94 2,92
        86,0 54,8 24,14! 18,30 12,46! 38,46 46,70 26,94 0,94
        58,6 34,6 14,6! 12,26 8,52! 36,36 60,62 38,98 0,80
        90,-6 56,4 26,12! 22,30 16,46! 40,46 46,70 28,96 0,94
        44,6 28,6 14,6! 12,24 8,40! 50,38 66,68 40,98 0,90
        60,4 36,6 22,8! 18,26 10,52! 40,34 62,62 36,98 6,72
    1.0: with the bar at the end
        20,8 17,26 12,46! 40,40 58,66 38,97 4,90 / 20,6 44,5 72,2
        24,14 20,28 14,46! 40,46 48,70 30,95 0,94 / 24,14 54,6 90,-4
        16,4 14,24 8,48! 40,36 60,64 36,98 2,84 / 14,6 36,10 60,8
        16,6 14,30 10,54! 38,36 60,62 36,98 4,78 / 16,8 42,6 70,2
    0.8: like an S
        60,6 28,8 14,28 38,46 54,70 36,96 4,90
        76,0 36,6 20,26 36,46 46,70 24,98 0,88
        56,8 32,2 14,22 34,44 58,70 34,100 2,78
        50,4 24,4 12,24 30,44 50,60 44,90 6,94
        66,-4 34,6 24,24 30,44 44,70 22,96 0,96
    """,
    """
    1.0: a stem and a loop
        48,2 18,34 4,70 20,97 48,92 54,70 36,56 8,72
        30,0 14,34 5,72 22,98 50,88 48,64 28,58 8,78
        40,0 16,28 4,64 14,94 44,96 58,76 46,62 20,70
        56,0 22,26 4,64 18,96 54,94 66,72 44,58 16,84
        34,0 8,40 6,84 34,99 62,84 58,58 34,56 14,80
        44,0 10,30 0,66 22,98 62,90 66,60 40,48 20,66
        26,0 10,40 8,80 30,98 54,76 50,52 28,60 12,92
    0.2: with a spiral inside
        46,2 14,30 4,70 24,98 56,86 52,62 30,58 20,74 40,82
        30,0 6,36 2,76 26,99 60,84 58,56 38,54 28,74 42,84
    0.15: with a sharp corner
        20,0 12,50 8,94! 36,98 56,78 40,58 10,70
    0.3: with a hook at the top
        60,10 44,0 16,24 4,64 20,97 48,92 54,70 36,56 8,74
        50,14 40,0 12,26 4,70 22,98 54,90 56,62 36,54 10,80
        66,4 46,6 18,30 4,66 22,98 58,92 60,66 38,54 12,78
    0.25: with a loop on the line
        20,0 2,50 14,92 44,86 60,60 46,46 32,66 40,92 66,90
        34,0 4,50 10,96 44,88 58,64 48,52 34,64 30,84 46,100
        24,0 4,46 8,88 34,92 62,66 58,46 38,58 28,80 30,100
    """,
    """
    1.0: an angle
        4,10 30,6 60,8! 40,50 26,98
        2,6 30,8 58,4! 50,50 44,98
        4,20 26,8 62,4! 34,46 18,98
    0.4: with a bar
        4,10 30,6 60,8! 42,50 30,98 / 18,52 38,52 60,50
        4,6 30,4 56,6! 44,50 38,98 / 14,56 42,52 72,48
    0.5: with a serif
        4,24 5,6! 30,8 60,6! 44,46 32,98
        2,42 10,8! 36,6 60,6! 50,50 44,98
        2,36 10,12! 32,6 56,2! 44,50 40,98
    0.8: round
        4,16 24,4 54,6 54,32 38,62 30,98
        4,12 30,6 58,10 50,36 34,64 22,98
        2,40 16,8 46,2 58,20 44,56 32,98
    0.2: with a serif and a bar
        4,24 6,6! 30,8 60,6! 44,46 32,98 / 16,52 38,52 62,50
        2,30 8,10! 34,10 60,4! 48,50 40,98 / 22,46 42,50 76,54
    0.15: round, with a bar
        4,16 24,4 54,6 52,34 40,64 32,98 / 18,54 40,52 64,50
    """,
    """
    1.0: like an S that comes back
        54,12 30,2 10,20 32,46 54,74 30,98 6,76 28,50 50,26 56,10
        46,8 24,4 10,24 34,44 50,70 26,98 8,74 32,46 54,22 62,4
        56,18 36,2 12,18 28,46 56,72 32,98 6,80 26,52 52,30 46,6
        60,8 34,2 8,20 26,42 40,70 24,98 8,80 24,56 50,34 84,2
        56,16 32,4 8,24 30,40 62,68 34,98 0,78 18,52 50,36 50,10
        40,6 20,6 12,26 28,46 44,76 26,98 10,78 26,52 44,30 70,6
        54,12 34,2 16,20 34,44 44,68 34,98 26,76 34,50 52,30 62,8
        60,14 34,2 4,22 30,44 66,70 36,98 0,76 28,48 62,28 58,8
        54,8 24,2 4,26 30,54 48,78 30,98 14,80 28,58 58,38 60,14
        48,10 32,4 20,18 32,34 64,64 32,98 0,70 24,40 46,26 50,12
        60,12 36,2 8,18 36,44 66,72 36,98 2,78 36,50 64,28 66,10
        70,12 40,0 10,16 34,40 50,66 26,98 6,80 28,54 66,34 80,8
    0.3: two circles
        32,46 8,24 32,2 54,24 32,46 6,74 32,98 58,74 32,46
    0.3: from the diagonal
        66,2 44,36 16,82 28,98 46,80 34,50 14,26 28,4 50,10
        60,4 46,30 12,70 22,98 48,86 38,54 16,28 26,2 58,6
    0.15: like an S, mirrored
        10,12 34,2 54,20 30,46 6,74 30,98 58,76 34,48 12,28 8,8
    """,
    """
    1.0: a loop and a leg
        54,16 32,2 8,22 20,46 46,40 56,14! 54,50 46,98
        52,10 26,4 6,28 22,48 46,34 54,8! 52,52 50,98
        70,4 34,4 8,20 16,44 40,42 58,16! 50,50 40,98
        56,20 28,0 2,28 20,58 50,46 60,14! 58,56 54,98
        42,6 14,12 6,36 28,48 50,34 60,6! 56,50 48,98
        50,6 24,4 6,18 18,32 40,24 56,8! 48,50 36,98
        58,10 22,0 0,30 22,56 48,44 62,16! 60,56 62,98
        58,8 30,8 4,34 14,54 40,40 60,10! 54,50 46,98
        56,2 24,18 2,42 18,54 42,36 58,4! 50,50 36,98
    0.8: in one curve
        50,34 20,48 8,24 34,2 56,20 52,60 38,98
        54,30 28,50 6,30 30,2 54,14 54,60 50,98
        54,26 22,44 6,24 32,0 56,16 40,60 18,98
    0.5: with a hook at the bottom
        54,16 32,2 8,22 20,46 46,40 56,14! 58,50 44,88 12,92
        52,12 28,2 8,18 20,36 44,30 54,12! 58,52 44,94 10,84
        52,14 28,2 10,20 22,42 46,36 54,14! 54,56 38,94 16,84
    """,
)


class Variant(NamedTuple):
    """Control points, and the indices of those on each smooth piece of the pen's path."""

    points: list[tuple[float, float]]
    pieces: list[list[int]]


class StrokeTables(NamedTuple):
    """All styles as padded arrays: S styles, V variants, K control points, `N_POINTS` points.

    Attributes
    ----------
    cumulative : ndarray of float64, shape (S,)
        ``searchsorted(cumulative, digit + u, "right")`` with u uniform in [0, 1) is a style of
        that digit, drawn by weight.
    has_variant : ndarray of bool, shape (S, V)
    control : ndarray of float32, shape (S, V, K, 2)
        Control points (x, y) in units of the digit's height.
    curve : ndarray of float32, shape (S, N_POINTS, K)
        Makes points on the path, at equal distances for the mean of the variants, from control
        points.
    """

    cumulative: np.ndarray
    has_variant: np.ndarray
    control: np.ndarray
    curve: np.ndarray


@cache
def stroke_tables() -> StrokeTables:
    """Return `STYLES` as arrays.

    Raises
    ------
    ValueError
        The variants of a style differ in more than the places of their points.
    """
    digits = [_parse_styles(text) for text in STYLES]
    parsed = [variants for styles in digits for _, variants in styles]
    sums = [np.cumsum([weight for weight, _ in styles]) for styles in digits]
    cumulative = np.concatenate([digit + ends / ends[-1] for digit, ends in enumerate(sums)])
    n_variants = max(len(variants) for variants in parsed)
    n_control = max(len(variants[0].points) for variants in parsed)
    has_variant = np.zeros((len(parsed), n_variants), bool)
    control = np.zeros((*has_variant.shape, n_control, 2), np.float32)
    curve = np.zeros((len(parsed), N_POINTS, n_control), np.float32)
    for s, variants in enumerate(parsed):
        pieces = variants[0].pieces
        if any(variant.pieces != pieces for variant in variants):
            raise ValueError(f"style {s}: its variants differ in their strokes")
        points = np.array([variant.points for variant in variants])
        has_variant[s, : len(points)] = True
        control[s, : len(points), : points.shape[1]] = points
        curve[s, :, : points.shape[1]] = curve_matrix(points.mean(axis=0), pieces)
    return StrokeTables(cumulative, has_variant, control, curve)


def _parse_styles(text: str) -> list[tuple[float, list[Variant]]]:
    """Return the weight and the variants of each style of a digit."""
    styles: list[tuple[float, list[Variant]]] = []
    for line in text.strip().splitlines():
        weight, is_style, _ = line.partition(":")
        if is_style:
            styles.append((float(weight), []))
        else:
            styles[-1][1].append(parse_variant(line))
    return styles


def parse_variant(line: str) -> Variant:
    """Read one line of control points, as in `STYLES`."""
    points: list[tuple[float, float]] = []
    pieces: list[list[int]] = []
    for stroke in line.split("/"):
        piece: list[int] = []
        for word in stroke.split():
            x, y = word.removesuffix("!").split(",")
            piece.append(len(points))
            if word.endswith("!"):
                pieces.append(piece)
                piece = [len(points)]
            points.append((float(x) / 100, float(y) / 100))
        pieces.append(piece)
    return Variant(points, pieces)


def curve_matrix(points: np.ndarray, pieces: list[list[int]]) -> np.ndarray:
    """Return the matrix (N_POINTS, K) of points at equal distances on the path of K `points`."""
    matrices, steps = [], []
    for piece in pieces:
        matrix = np.zeros((_FINE * (len(piece) - 1) + 1, len(points)))
        matrix[:, piece] = _spline(len(piece))
        path = matrix @ points
        matrices.append(matrix)
        # A piece begins with a step of length 0: the pen is already there, or is lifted to it.
        steps.append(np.linalg.norm(np.diff(path, axis=0, prepend=path[:1]), axis=1))
    distance = np.cumsum(np.concatenate(steps))
    equal = np.linspace(0, distance[-1], N_POINTS)
    return np.concatenate(matrices)[np.searchsorted(distance, equal)]


def _spline(n_control: int) -> np.ndarray:
    """Return the matrix of a Catmull-Rom spline, `_FINE` points from each control point on.

    It passes through the control points with the slope of the line from the one before to the
    one after (E. Catmull, R. Rom, "A class of local interpolating splines", 1974).
    """
    t = np.linspace(0, n_control - 1, _FINE * (n_control - 1) + 1)[:, None]
    left = np.minimum(t.astype(int), n_control - 2)
    u = t - left
    points = np.eye(n_control)
    slopes = np.gradient(points, axis=0)
    left = left[:, 0]
    return (
        (1 + 2 * u) * (1 - u) ** 2 * points[left]
        + u * (1 - u) ** 2 * slopes[left]
        + u**2 * (3 - 2 * u) * points[left + 1]
        + u**2 * (u - 1) * slopes[left + 1]
    )
