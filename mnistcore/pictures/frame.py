"""Bring ink into the frame of MNIST: its box, centre of mass and stroke width.

MNIST's digits were black and white, scaled to fit a box of 20 x 20 pixels with their proportions
kept, which made them grey, and placed with their centre of mass in the middle of 28 x 28
(Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document
recognition", 1998, section III.A). Digits drawn with a marker or a mouse also need strokes as
wide as those that the network was trained on.
"""

from collections.abc import Callable, Sequence

import numpy as np

from .regions import find_regions

# In pixels of the box of 20. The width is four times the mean distance from ink to paper, which
# is exact for a long stroke. 90 % of MNIST's training digits lie between _THIN and _THICK, and
# USUAL_WIDTH is their median.
BOX, SIZE = 20, 28
USUAL_WIDTH = 3.0
_THIN, _THICK = 2.3, 4.1
_FINE = 5  # shapes are computed at this many pixels per pixel of the box
_SPECK = 0.015  # of the ink: a smaller separate piece is dirt
_SHIFTS = ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0))  # the centre of mass falls between pixels


def normalised(
    ink: np.ndarray, widths: Sequence[float | None] = (None,), slants: Sequence[float] = (0.0,)
) -> np.ndarray:
    """Render a digit in the style of MNIST, in several views.

    Parameters
    ----------
    ink
        (H, W) float32; there is ink where it is above one half.
    widths
        Stroke width of each view, in pixels of the box; None keeps the digit's own, clipped to
        MNIST's range.
    slants
        Slant of each view to the right, per unit of the digit's height.

    Returns
    -------
    ndarray of uint8, shape (V, 28, 28)
        Ink is bright.

    Raises
    ------
    ValueError
        If there is no ink.
    """
    distance = _distance(_shaped(ink))
    now = _mean_width(distance)
    usual = min(max(now, _THIN), _THICK)
    shapes: dict[float, np.ndarray] = {}
    views = []
    for width, slant in zip(widths, slants, strict=True):
        wanted = usual if width is None else width
        if wanted not in shapes:
            shapes[wanted] = _with_width(distance, now, wanted)
        soft = shapes[wanted]
        views.append(in_frame(_leaning(soft, slant) if slant else soft))
    return np.stack(views)


def averaged(score: Callable[[np.ndarray], np.ndarray], views: np.ndarray) -> np.ndarray:
    """Average a score over the views of each digit and their shifts by a pixel.

    Parameters
    ----------
    score
        Takes images (M, 28, 28); returns an array (M, ...).
    views
        (N, V, 28, 28) uint8, V views of each of N digits.

    Returns
    -------
    ndarray, shape (N, ...)
    """
    shifted = np.stack([np.roll(views, shift, (2, 3)) for shift in _SHIFTS], axis=1)
    scores = score(shifted.reshape(-1, *views.shape[2:]))
    means: np.ndarray = scores.reshape(len(views), -1, *scores.shape[1:]).mean(axis=1)
    return means


def stroke_width(ink: np.ndarray) -> float:
    """Return a digit's stroke width in pixels of MNIST's box; ``ink`` as in `normalised`."""
    return _mean_width(_distance(_shaped(ink)))


def already_framed(grey: np.ndarray) -> np.ndarray | None:
    """Return a picture (28, 28) in [0, 1] as uint8 if it is framed as in MNIST, else None.

    Dark ink on white is inverted; nothing else is changed. The digit must have MNIST's size,
    place and soft edges, which a drawing made at 28 x 28 with a hard pen lacks.
    """
    if grey.shape != (SIZE, SIZE):
        return None
    edge = np.concatenate([grey[:2].ravel(), grey[-2:].ravel(), grey[:, :2].ravel()])
    values = 1 - grey if np.median(edge) > 0.5 else grey
    ink = values > 0.1
    if np.abs(edge - np.median(edge)).mean() > 0.03 or values.max() < 0.8 or not ink.any():
        return None
    if (values[ink] < 0.9).mean() < 0.15:
        return None
    top, bottom, left, right = _box(ink)
    off_centre = np.abs(_centre_of_mass(values) - SIZE / 2).max()
    if abs(max(bottom - top, right - left) - BOX) > 1 or off_centre > 0.8:
        return None
    if not 1.6 < stroke_width(values) < 5.5:
        return None
    return np.rint(values * 255).astype(np.uint8)


def _shaped(ink: np.ndarray) -> np.ndarray:
    """Return the digit as a clean mask of ``_FINE * BOX`` pixels' length, with a margin."""
    rough = ink > 0.5
    if not rough.any():
        raise ValueError("there is no ink")
    top, bottom, left, right = _box(rough)
    margin = max(2, (bottom - top) // 16, (right - left) // 16)
    ink = np.pad(ink, margin)[top : bottom + 2 * margin, left : right + 2 * margin]
    fine = _resized(ink, _FINE * BOX / max(bottom - top, right - left)) > 0.5
    if not fine.any():  # resizing took thin strokes below the threshold
        fine = _resized(ink, _FINE * BOX / max(bottom - top, right - left)) > 0.15
    return _without_dirt(np.pad(fine, 2))


def _without_dirt(mask: np.ndarray) -> np.ndarray:
    """Drop pieces that are too small to be part of the digit, and fill pores in its strokes."""
    pieces = find_regions(mask)
    mask = pieces.mask(pieces.area >= min(_SPECK * pieces.area.sum(), pieces.area.max()))
    gaps = find_regions(~mask)
    width = np.median(pieces.width[pieces.area >= pieces.area.max()])
    mask = mask | gaps.mask((gaps.area < 0.2 * width**2) & (gaps.contact == 0))
    return mask


def _box(mask: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def _resized(grey: np.ndarray, factor: float) -> np.ndarray:
    from PIL import Image

    height, width = (max(1, round(side * factor)) for side in grey.shape)
    image = Image.fromarray(np.ascontiguousarray(grey, np.float32))
    return np.asarray(image.resize((width, height), Image.Resampling.BICUBIC))


def _distance(mask: np.ndarray) -> np.ndarray:
    """Return the distance (H, W) of each inked pixel's centre to the edge of the ink.

    Outside it is -0.5 everywhere, that of the nearest pixels: no stroke is narrowed by them.
    """
    return np.where(mask, _distance_to(~mask), -0.5).astype(np.float32)


def _distance_to(mask: np.ndarray, reach: float = np.inf) -> np.ndarray:
    """From each pixel outside of a mask to its edge; 0 inside.

    Along the columns first, then from row to row with the columns to either side, until none can
    be nearer (P. Felzenszwalb, D. Huttenlocher, "Distance transforms of sampled functions",
    2012, in the plain way). What is more than ``reach`` columns aside is not looked at.
    """
    height, width = mask.shape
    rows = np.arange(height)[:, None]
    above = np.maximum.accumulate(np.where(mask, rows, -4 * height), axis=0)
    below = np.minimum.accumulate(np.where(mask, rows, 5 * height)[::-1], axis=0)[::-1]
    vertical = np.minimum(rows - above, below - rows).astype(np.float32) ** 2
    squared = vertical.copy()
    for aside in range(1, width):
        if aside > reach or aside**2 >= squared.max():
            break
        further = vertical + np.float32(aside**2)
        left, right = squared[:, :-aside], squared[:, aside:]
        np.minimum(left, further[:, aside:], out=left)
        np.minimum(right, further[:, :-aside], out=right)
    return np.maximum(np.sqrt(squared) - 0.5, 0)


def _mean_width(distance: np.ndarray) -> float:
    return 4 * float(distance[distance > 0].mean()) / _FINE


def _with_width(distance: np.ndarray, now: float, wanted: float) -> np.ndarray:
    """Return the ink in [0, 1] with strokes made wider or narrower on all sides, soft at the rim.

    The digit grows with its strokes and is then fitted into the box again. With ``g`` added on
    each side, width over box becomes (now + 2 g) / (box + 2 g), which must equal wanted / box.
    Where a narrowed stroke was thin, a thread of it remains.
    """
    grow = _FINE * (wanted - now) / (2 * (1 - wanted / BOX))
    if grow > 0:
        larger = np.pad(distance > 0, int(grow) + 2)
        outside = grow - _distance_to(larger, grow + 1) + 0.5
        return np.where(larger, np.float32(1), outside.clip(0, 1))
    # Keep the middle of each stroke: take away no more than its half width allows.
    spare = np.maximum(_ridge(distance) - 0.35 * _FINE * wanted, 0)
    return np.clip(distance - np.minimum(-grow, spare) + 0.5, 0, 1)


def _ridge(distance: np.ndarray) -> np.ndarray:
    """Return half the stroke width at each pixel: the largest distance within its reach."""
    largest = distance
    for _ in range(int(np.ceil(distance.max()))):
        wider = largest.copy()
        for here, there in ((np.s_[1:], np.s_[:-1]), (np.s_[:-1], np.s_[1:])):
            np.maximum(wider[here], largest[there], out=wider[here])
            np.maximum(wider[:, here], largest[:, there], out=wider[:, here])
        largest = np.where(distance > 0, wider, distance)
    return largest


def _leaning(soft: np.ndarray, slant: float) -> np.ndarray:
    from PIL import Image

    height = len(soft)
    room = int(np.ceil(abs(slant) * height / 2)) + 1
    image = Image.fromarray(np.pad(soft, ((0, 0), (room, room))))
    shift = slant * height / 2
    data = (1, slant, -shift, 0, 1, 0)
    return np.asarray(
        image.transform(image.size, Image.Transform.AFFINE, data, Image.Resampling.BILINEAR)
    )


def in_frame(soft: np.ndarray) -> np.ndarray:
    """Fit ink into the box by averaging areas, and move its centre of mass to the middle.

    Parameters
    ----------
    soft
        (H, W) in [0, 1], above one half somewhere; its proportions are kept.

    Returns
    -------
    ndarray of uint8, shape (28, 28)
    """
    from PIL import Image

    top, bottom, left, right = _box(soft > 0.5)
    height, width = bottom - top, right - left
    pitch = max(height, width) / BOX
    rows, columns = max(1, round(height / pitch)), max(1, round(width / pitch))
    middle_y, middle_x = (top + bottom) / 2, (left + right) / 2
    margin = int(pitch) + 1
    image = Image.fromarray(np.pad(soft, margin).astype(np.float32))
    area = (
        middle_x + margin - columns * pitch / 2,
        middle_y + margin - rows * pitch / 2,
        middle_x + margin + columns * pitch / 2,
        middle_y + margin + rows * pitch / 2,
    )
    small = np.asarray(image.resize((columns, rows), Image.Resampling.BOX, box=area))
    framed = np.zeros((SIZE, SIZE), np.uint8)
    centre = _centre_of_mass(small)
    first = np.rint(SIZE / 2 - centre).astype(int).clip(0, (SIZE - rows, SIZE - columns))
    framed[first[0] : first[0] + rows, first[1] : first[1] + columns] = np.rint(255 * small)
    return framed


def _centre_of_mass(grey: np.ndarray) -> np.ndarray:
    """Return row and column, counted from the middle of the first pixel; 14 +- 0.5 in MNIST."""
    total = grey.sum()
    return (
        np.array([grey.sum(axis=1 - axis) @ np.arange(grey.shape[axis]) for axis in (0, 1)]) / total
    )
