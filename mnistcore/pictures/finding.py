"""Where the digit is: which marks belong to it, and whether it is one at all."""

from dataclasses import dataclass

import numpy as np

from .files import Picture, picture_of, shrink
from .ink import LEAST_CONTRAST, Ink, grey_of, ink_of, levelled, otsu, softened, without_specks
from .regions import Regions, find_regions

WORK = 800  # pixels of the long side on which marks are looked for
_SMALL = 48  # a digit of fewer pixels is looked at again, closer, if the picture has more of them
# Of the long side: strokes are thinner than that. A narrow window sees through deeper shadows,
# a wide one sees thicker strokes whole, which is more often what matters.
_WINDOWS = {0.45: 1.0, 0.22: 0.95, 0.1: 0.9}
_DOUBT = 0.35  # taken off for a polarity that everything speaks against
UNSURE = -0.5  # from here to 1, dark ink is tried first: most ink is dark
_GOOD = 0.85  # a score with which nothing else is tried


class NoDigitError(ValueError):
    """There is nothing in a picture that could be a digit; the message says what there is."""


@dataclass(frozen=True, eq=False)
class Cutting:
    """A digit, cut out of its picture.

    Attributes
    ----------
    ink
        (H, W) float32, above one half where there is ink of this digit.
    box
        Left, top, right, bottom in the file's pixels, the last two just outside.
    score
        How sure it is that this is a digit's shape, from 0 to 1.
    alone
        False where the picture has other marks of about its size.
    """

    ink: np.ndarray
    box: tuple[float, float, float, float]
    score: float
    alone: bool


def find_digit(picture: Picture) -> Cutting:
    """Cut out the one digit of a picture.

    Raises
    ------
    NoDigitError
        If there is none.
    """
    factor = -(-max(picture.pixels.shape[:2]) // WORK)
    best = _best(prepared(shrink(picture.pixels, factor)))
    left, top, right, bottom = best.box
    if factor > 1 and max(right - left, bottom - top) < _SMALL:
        best = _closer(picture, best, factor)
        factor = 1
    scale = picture.scale * factor
    box = tuple(side * scale for side in best.box)
    return Cutting(best.ink, box, best.score, best.alone)


def prepared(pixels: np.ndarray) -> np.ndarray:
    """The grey (H, W) of pixels (H, W, C) without salt, pepper and grain."""
    grey = levelled(without_specks(grey_of(pixels)))
    return softened(grey) if max(grey.shape) >= 200 else grey


def _closer(picture: Picture, found: Cutting, factor: int) -> Cutting:
    """Cut a small digit out of the larger picture; its box is in the pixels of that."""
    left, top, right, bottom = (int(side * factor) for side in found.box)
    room = max(right - left, bottom - top)
    first_row, first_column = max(top - room, 0), max(left - room, 0)
    part = picture.pixels[first_row : bottom + room, first_column : right + room]
    try:
        again = find_digit(picture_of(part))
    except NoDigitError:
        box = tuple(side * factor for side in found.box)
        return Cutting(found.ink, box, found.score, found.alone)
    moved = np.array(again.box) + [first_column, first_row, first_column, first_row]
    return Cutting(again.ink, tuple(map(float, moved)), again.score, found.alone)


def _best(grey: np.ndarray) -> Cutting:
    """The most digit-like of what is seen with dark and with light ink, thin and thick strokes."""
    found: list[Cutting] = []
    reasons: list[str] = []
    vote = vote_for_dark(grey)
    likely = vote > UNSURE
    for dark in (likely, not likely):
        for share, trust in _WINDOWS.items():
            window = 2 * int(share * max(grey.shape) / 2) + 1
            try:
                cutting = cut_digit(ink_of(grey, dark, window))
            except NoDigitError as error:
                reasons.append(str(error))
                continue
            score = cutting.score * trust * (1 - _DOUBT * max(-vote if dark else vote, 0))
            found.append(Cutting(cutting.ink, cutting.box, score, cutting.alone))
            if score > _GOOD:
                return found[-1]
    if not found:
        raise NoDigitError(reasons[0])
    return max(found, key=lambda cutting: cutting.score)


def vote_for_dark(grey: np.ndarray) -> float:
    """From -1, ink must be light, to 1, it must be dark.

    Paper is what most of the picture and most of its rim are.
    """
    threshold = otsu(grey)
    depth = max(1, min(grey.shape) // 20)
    rim = np.concatenate(
        [grey[:depth].ravel(), grey[-depth:].ravel(), grey[:, :depth].ravel(), grey[:, -depth:].ravel()]
    )
    return float((rim > threshold).mean() + (grey > threshold).mean() - 1)


def marks(ink: Ink, strength: np.ndarray) -> Regions:
    """The regions with ink: faint ones only where they hang together with clear ones.

    Raises
    ------
    NoDigitError
        If nothing stands out of the paper and its noise.
    """
    count = max(4, strength.size // 10_000)
    strongest = np.partition(strength, -count, axis=None)[-count:]
    top = float(np.median(strongest))
    if top < max(6 * ink.noise, LEAST_CONTRAST):
        raise NoDigitError("nothing is written there")
    faint, clear = max(3.5 * ink.noise, 0.25 * top), max(5 * ink.noise, 0.45 * top)
    regions = find_regions(strength > faint)
    sure = np.bincount(regions.labels[strength > clear], minlength=len(regions)) > 0
    return find_regions(regions.mask(sure))


def cut_digit(ink: Ink) -> Cutting:
    """Cut the one digit out of the ink of a picture; its box is in pixels of the ink.

    Where the strongest marks cannot be a digit's, such as the edge of a table, they are put aside
    and weaker ones are looked at.

    Raises
    ------
    NoDigitError
        If nothing is left.
    """
    strength = ink.strength
    reason = ""
    for _ in range(3):
        try:
            regions = marks(ink, strength)
        except NoDigitError as error:
            raise NoDigitError(reason or str(error)) from None
        weight = _weights(regions, strength)
        if not weight.any():
            raise NoDigitError(reason or "nothing is written there")
        chosen = _group(regions, weight)
        reason = _objection(regions, chosen, weight)
        if not reason:
            return _cut(ink, strength, regions, chosen, weight)
        strength = np.where(regions.mask(chosen | (weight == 0)), 0, strength)
    raise NoDigitError(reason)


def _weights(regions: Regions, strength: np.ndarray) -> np.ndarray:
    """How much each region counts as the main part of a digit; 0 for what can be none."""
    height, width = strength.shape
    total = np.bincount(
        regions.labels.ravel() + 1, strength.ravel(), len(regions) + 1
    )[1:]
    long_side = np.maximum(regions.long_side, 1)
    around = 2 * (regions.bottom - regions.top + regions.right - regions.left)
    contact = np.minimum(2 * regions.contact / around, 1)
    middle_y, middle_x = (regions.top + regions.bottom) / 2, (regions.left + regions.right) / 2
    off_centre = np.maximum(abs(middle_y / height - 0.5), abs(middle_x / width - 0.5))
    weight = total * (1 - contact) * (1 - off_centre) ** 2
    weight[is_blob(regions)] *= 0.02
    weight[long_side < 0.02 * max(height, width)] *= 0.1
    weight[is_rule(regions)] *= 0.05
    weight[is_frame(regions)] = 0
    return weight


def is_rule(regions: Regions) -> np.ndarray:
    """Thin lines from one side of the picture to the other."""
    height, width = regions.labels.shape
    across = (regions.left == 0) & (regions.right == width)
    down = (regions.top == 0) & (regions.bottom == height)
    short = np.minimum(regions.bottom - regions.top, regions.right - regions.left)
    slender = (regions.width < 0.1 * regions.long_side) & (short < 0.2 * regions.long_side)
    return (across | down) & slender


def is_blob(regions: Regions) -> np.ndarray:
    """Filled shapes, as wide all over as no pen is."""
    height, width = regions.bottom - regions.top, regions.right - regions.left
    slender = np.maximum(height, width) > 2.2 * np.minimum(height, width)
    filled = regions.area > 0.75 * height * width
    return ((regions.width > 0.33 * regions.long_side) | filled) & ~slender


def is_frame(regions: Regions) -> np.ndarray:
    """Hollow boxes drawn around something: ink along all four sides, with something inside."""
    frames = np.zeros(len(regions), bool)
    for i in np.flatnonzero(regions.long_side > 0.2 * max(regions.labels.shape)):
        top, left = regions.top[i], regions.left[i]
        height, width = regions.bottom[i] - top, regions.right[i] - left
        inside = (
            (regions.top > top) & (regions.bottom < top + height)
            & (regions.left > left) & (regions.right < left + width)
            & (regions.long_side > 0.25 * min(height, width))
        )  # fmt: skip
        if not inside.any():
            continue
        own = regions.labels[top : top + height, left : left + width] == i
        y, x = height // 7 + 1, width // 7 + 1
        corners = (own[:y, :x], own[:y, -x:], own[-y:, :x], own[-y:, -x:])
        frames[i] = own[y:-y, x:-x].sum() < 0.1 * own.sum() and all(c.any() for c in corners)
    return frames


def _group(regions: Regions, weight: np.ndarray) -> np.ndarray:
    """The heaviest region and those near enough to be parts of the same digit (N,), bool."""
    main = int(weight.argmax())
    chosen = np.zeros(len(regions), bool)
    chosen[main] = True
    reach = 0.02 * max(regions.labels.shape)
    notable = (weight > 0) & (regions.area >= 0.002 * regions.area[main])
    while True:
        top, left = regions.top[chosen].min(), regions.left[chosen].min()
        bottom, right = regions.bottom[chosen].max(), regions.right[chosen].max()
        length = max(bottom - top, right - left)
        aside = np.maximum(regions.left - right, left - regions.right)
        away = np.maximum(regions.top - bottom, top - regions.bottom)
        gap = np.maximum(np.maximum(aside, away), 0)
        share = regions.long_side / length
        near = gap <= np.maximum(np.minimum(0.22, 0.5 * share) * length, reach)
        another = (aside >= 0) & (regions.bottom - regions.top > 0.65 * (bottom - top))
        another |= (away >= 0) & (regions.right - regions.left > 0.9 * (right - left)) & (share > 0.65)
        joined = chosen | (notable & near & ~another & ~is_blob(regions))
        if (joined == chosen).all():
            return chosen
        chosen = joined


def _objection(regions: Regions, chosen: np.ndarray, weight: np.ndarray) -> str:
    """Why a group of regions is no digit; empty if it may be one."""
    top, left = regions.top[chosen].min(), regions.left[chosen].min()
    bottom, right = regions.bottom[chosen].max(), regions.right[chosen].max()
    long_side, short_side = max(bottom - top, right - left), min(bottom - top, right - left)
    area = regions.area[chosen].sum()
    width = float(np.average(regions.width[chosen], weights=regions.area[chosen]))
    if long_side < 4 or long_side < 0.015 * max(regions.labels.shape):
        return "there are only specks"
    filled = width > 0.33 * long_side or area > 0.75 * long_side * short_side
    if filled and long_side < 2.2 * short_side:
        return "the shape is filled, not drawn"
    if area / width > 7.5 * long_side:
        return "the marks are too many or too tangled for a digit"
    pieces = chosen & (regions.area > 0.05 * area)
    if pieces.sum() > 9:
        return "the marks are too many or too tangled for a digit"
    if right - left > 3 * (bottom - top):
        return "the shape is too wide for a digit"
    contact = regions.contact[chosen].sum()
    if contact > 0.5 * 2 * (bottom - top + right - left):
        return "the marks run out of the picture"
    alike = (regions.long_side > 0.5 * long_side) & ~chosen
    if alike.sum() > 5 and weight[chosen].sum() < 0.25 * weight.sum():
        return "there are many marks; several digits are read with many"
    return ""


def _cut(
    seen: Ink, strength: np.ndarray, regions: Regions, chosen: np.ndarray, weight: np.ndarray
) -> Cutting:
    """Lift the chosen regions off the paper, with the threshold where Otsu puts it for them."""
    own = regions.mask(chosen)
    ink, box = lifted(strength, own, regions.labels >= 0)
    left, top, right, bottom = box
    dominance = float(weight[chosen].sum() / weight.sum())
    alike = (regions.long_side > 0.6 * max(bottom - top, right - left)) & ~chosen & (weight > 0)
    around = 2 * (bottom - top + right - left)
    contact = float(regions.contact[chosen].sum() / around)
    width = float(np.average(regions.width[chosen], weights=regions.area[chosen]))
    thin = 1 - 4 * max(width / max(bottom - top, right - left) - 0.18, 0)
    score = max(thin, 0.2) * dominance**0.5 * (1 - contact) * support(seen, regions, chosen)
    return Cutting(ink, box, score, not alike.any())


def lifted(
    strength: np.ndarray, own: np.ndarray, inked: np.ndarray
) -> tuple[np.ndarray, tuple[int, int, int, int]]:
    """The ink of a digit alone, from the mask of it and that of all ink; and the box around it.

    The threshold is Otsu's for this digit, within reason, and becomes one half.
    """
    height, width = strength.shape
    rows, columns = np.flatnonzero(own.any(axis=1)), np.flatnonzero(own.any(axis=0))
    left, right, top, bottom = columns[0], columns[-1] + 1, rows[0], rows[-1] + 1
    rim = np.s_[
        max(top - 2, 0) : min(bottom + 2, height), max(left - 2, 0) : min(right + 2, width)
    ]
    values, own = strength[rim], own[rim]
    full = float(np.percentile(values[own], 80))
    threshold = min(max(otsu(np.minimum(values, full)), 0.35 * full), 0.6 * full)
    foreign = (inked[rim] & ~own) | ~grown(own, 2)
    ink = np.where(foreign, 0, values / (2 * threshold)).clip(0, 1).astype(np.float32)
    return ink, (int(left), int(top), int(right), int(bottom))


def support(ink: Ink, regions: Regions, chosen: np.ndarray) -> float:
    """The share of the outline along which the ink is clearly darker than what lies beside it.

    Near 1 for strokes. Less where what was taken for the paper is not what surrounds the ink: in
    shadows, whose rims are soft, and in strokes wider than the window, of which only pieces are
    seen.
    """
    width = float(np.average(regions.width[chosen], weights=regions.area[chosen]))
    step = max(1, round(width / 2))
    room = 3 * step + 1
    top, left = regions.top[chosen].min() - room, regions.left[chosen].min() - room
    bottom, right = regions.bottom[chosen].max() + room, regions.right[chosen].max() + room
    area = np.s_[max(top, 0) : bottom, max(left, 0) : right]
    own = regions.mask(chosen)[area]
    near = grown(own, step)
    beside = grown(near, step) & ~near & (regions.labels[area] < 0)
    if not beside.any():
        return 0.0
    light = ink.light[area]
    drop = light[beside] - np.median(light[own])
    return float((drop > 0.4 * np.median(ink.strength[area][own])).mean())


def grown(mask: np.ndarray, by: int) -> np.ndarray:
    for _ in range(by):
        padded = np.pad(mask, 1)
        mask = (
            padded[1:-1, 1:-1] | padded[:-2, 1:-1] | padded[2:, 1:-1]
            | padded[1:-1, :-2] | padded[1:-1, 2:]
        )  # fmt: skip
    return mask
