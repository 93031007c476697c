"""Find the one digit of a picture: which marks belong to it, and whether it is a digit at all."""

from dataclasses import dataclass, replace

import numpy as np

from .company import company_of
from .files import Picture, picture_of, shrink
from .ink import Ink
from .marks import (
    NoDigitError,
    find_marks,
    inks_of,
    is_blob,
    is_frame,
    is_rule,
    lifted,
    polarities,
    prepared,
    support,
)
from .regions import Regions

WORK = 800  # pixels of the long side of the reduced picture in which marks are sought
_SMALL = 48  # a smaller digit is cut again from the full picture if that has more pixels
# Window sizes as shares of the long side, wider than any stroke, with factors of the score. A
# narrow window copes with deeper shadows, a wide one with thicker strokes, which are commoner.
_WINDOWS = {0.45: 1.0, 0.22: 0.95, 0.1: 0.9}
_DOUBT = 0.35  # reduction of the score for the least plausible polarity
_GOOD = 0.85  # a score at which the search stops
_LEAST = 0.5  # the lowest score of a digit
_MOST_PIECES = 40  # of a broken digit, with the dirt around it
_FILLED = "the shape is filled, not drawn"

Box = tuple[float, float, float, float]  # left, top, right, bottom, the last two just outside


@dataclass(frozen=True, eq=False)
class Cutting:
    """A digit, cut out of its picture.

    Attributes
    ----------
    ink
        (H, W) float32, above one half where there is ink of this digit.
    box
        In the file's pixels.
    score
        Confidence that this is the shape of a digit, from 0 to 1.
    alone
        Whether no other mark is of similar height and stroke width.
    dotted, beside
        Inks that must be digits too if this is one: see :func:`.company.company_of`.
    """

    ink: np.ndarray
    box: Box
    score: float
    alone: bool
    dotted: np.ndarray | None = None
    beside: tuple[np.ndarray, ...] = ()


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
    return replace(best, box=_moved(best.box, picture.scale * factor))


def _closer(picture: Picture, found: Cutting, factor: int) -> Cutting:
    """Cut a small digit out of the full picture; its box is in pixels of that picture."""
    left, top, right, bottom = (int(side * factor) for side in found.box)
    room = max(right - left, bottom - top)
    first_row, first_column = max(top - room, 0), max(left - room, 0)
    part = picture.pixels[first_row : bottom + room, first_column : right + room]
    try:
        again = find_digit(picture_of(part))
    except NoDigitError:
        return replace(found, box=_moved(found.box, factor))
    box = _moved(again.box, 1, first_column, first_row)
    return replace(again, box=box, alone=found.alone)


def _moved(box: Box, scale: float, right: float = 0, down: float = 0) -> Box:
    """Scale a box, then move it."""
    left, top, *end = (side * scale for side in box)
    return left + right, top + down, end[0] + right, end[1] + down


def _best(grey: np.ndarray) -> Cutting:
    """Return the most digit-like cutting over dark and light ink and all window sizes."""
    found: list[Cutting] = []
    reasons: list[str] = []
    filled: list[Box] = []
    votes = polarities(grey)
    for share, ink in inks_of(grey, votes, max(grey.shape), _WINDOWS):
        try:
            cutting = cut_digit(ink, filled)
        except NoDigitError as error:
            reasons.append(str(error))
            continue
        if any(_overlap(cutting.box, box) > 0.5 for box in filled):  # the rim of that shape
            continue
        score = cutting.score * _WINDOWS[share] * (1 - _DOUBT * votes[ink.dark])
        found.append(replace(cutting, score=score))
        if score > _GOOD:
            return found[-1]
    if not found:
        raise NoDigitError(_FILLED if filled else reasons[0])
    best = max(found, key=lambda cutting: cutting.score)
    if best.score < _LEAST:
        raise NoDigitError("nothing there has the shape of a digit")
    return best


def _overlap(a: Box, b: Box) -> float:
    """Return the intersection over union of two boxes."""
    common = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    shared = float(common.clip(0).prod())
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return shared / (sum(areas) - shared)


def cut_digit(ink: Ink, filled: list[Box]) -> Cutting:
    """Cut the one digit out of the ink of a picture; its box is in pixels of the ink.

    If the strongest marks cannot be a digit (the edge of a table, for example), they are removed
    and weaker ones are examined. The boxes of filled shapes are appended to ``filled``.

    Raises
    ------
    NoDigitError
        If nothing is left.
    """
    strength = ink.strength
    reason = ""
    for _ in range(3):
        try:
            regions = find_marks(ink, strength)
        except NoDigitError as error:
            raise NoDigitError(reason or str(error)) from None
        weight = _weights(regions, strength)
        if not weight.any():
            raise NoDigitError(reason or "nothing is written there")
        chosen = _group(regions, weight)
        reason = _objection(regions, chosen, weight)
        if not reason:
            return _cut(ink, strength, regions, chosen, weight)
        if reason == _FILLED:
            filled.append(_around(regions, chosen))
        strength = np.where(regions.mask(chosen | (weight == 0)), 0, strength)
    raise NoDigitError(reason)


def _weights(regions: Regions, strength: np.ndarray) -> np.ndarray:
    """Weigh each region as the main part of a digit; 0 if it cannot be one."""
    height, width = strength.shape
    total = np.bincount(regions.labels.ravel() + 1, strength.ravel(), len(regions) + 1)[1:]
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


def _group(regions: Regions, weight: np.ndarray) -> np.ndarray:
    """Return the heaviest region and those that may be parts of the same digit, (N,) bool."""
    main = int(weight.argmax())
    chosen = np.zeros(len(regions), bool)
    chosen[main] = True
    reach = 0.02 * max(regions.labels.shape)
    notable = (weight > 0) & (regions.area >= 0.002 * regions.area[main])
    while True:
        left, top, right, bottom = _around(regions, chosen)
        length = max(bottom - top, right - left)
        aside = np.maximum(regions.left - right, left - regions.right)
        away = np.maximum(regions.top - bottom, top - regions.bottom)
        gap = np.maximum(np.maximum(aside, away), 0)
        share = regions.long_side / length
        near = gap <= np.maximum(np.minimum(0.22, 0.5 * share) * length, reach)
        another = (aside >= 0) & (regions.bottom - regions.top > 0.65 * (bottom - top))
        another |= (
            (away >= 0) & (regions.right - regions.left > 0.9 * (right - left)) & (share > 0.65)
        )
        joined = chosen | (notable & near & ~another & ~is_blob(regions))
        if (joined == chosen).all():
            return chosen
        chosen = joined


def _around(regions: Regions, chosen: np.ndarray) -> tuple[int, int, int, int]:
    """Return the box around some regions: left, top, right, bottom."""
    return (
        int(regions.left[chosen].min()),
        int(regions.top[chosen].min()),
        int(regions.right[chosen].max()),
        int(regions.bottom[chosen].max()),
    )


def _objection(regions: Regions, chosen: np.ndarray, weight: np.ndarray) -> str:
    """Say why a group of regions is not a digit; empty if it may be one."""
    left, top, right, bottom = _around(regions, chosen)
    long_side, short_side = max(bottom - top, right - left), min(bottom - top, right - left)
    area = regions.area[chosen].sum()
    width = float(np.average(regions.width[chosen], weights=regions.area[chosen]))
    if long_side < 4 or long_side < 0.015 * max(regions.labels.shape):
        return "there are only specks"
    filled = width > 0.33 * long_side or area > 0.75 * long_side * short_side
    if filled and long_side < 2.2 * short_side:
        return _FILLED
    if area / width > 7.5 * long_side:
        return "the marks are too many or too tangled for a digit"
    pieces = chosen & (regions.area > 0.05 * area)
    if pieces.sum() > 9 or chosen.sum() > _MOST_PIECES:
        return "the marks are too many or too tangled for a digit"
    if right - left > 3 * (bottom - top):
        return "the shape is too wide for a digit"
    contact = regions.contact[chosen].sum()
    if contact > 0.5 * 2 * (bottom - top + right - left):
        return "the marks run off the edge of the picture"
    alike = (regions.long_side > 0.5 * long_side) & ~chosen
    if alike.sum() > 5 and weight[chosen].sum() < 0.25 * weight.sum():
        return "there are many marks; use many to read several digits"
    return ""


def _cut(
    seen: Ink, strength: np.ndarray, regions: Regions, chosen: np.ndarray, weight: np.ndarray
) -> Cutting:
    """Cut out the chosen regions and score them."""
    own = regions.mask(chosen)
    ink, box = lifted(strength, own, regions.labels >= 0)
    left, top, right, bottom = box
    dominance = float(weight[chosen].sum() / weight.sum())
    around = 2 * (bottom - top + right - left)
    contact = float(regions.contact[chosen].sum() / around)
    width = float(np.average(regions.width[chosen], weights=regions.area[chosen]))
    thin = 1 - 4 * max(width / max(bottom - top, right - left) - 0.18, 0)
    score = max(thin, 0.2) * dominance**0.5 * (1 - contact) * support(seen, regions, chosen)
    alone = not _alike(regions, chosen, weight).any()
    return Cutting(ink, box, score, alone, *company_of(strength, regions, chosen))


def _alike(regions: Regions, chosen: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return which other regions could be a digit by the same writer, (N,) bool."""
    left, top, right, bottom = _around(regions, chosen)
    size = (regions.bottom - regions.top) / (bottom - top)
    pen = np.average(regions.width[chosen], weights=regions.area[chosen])
    aside = (regions.left >= right) | (regions.right <= left)
    aside |= (regions.top >= bottom) | (regions.bottom <= top)
    alike = (size > 0.6) & (size < 1.7) & (regions.width > 0.5 * pen) & (regions.width < 2 * pen)
    return aside & alike & (weight > 0) & ~is_blob(regions) & ~is_rule(regions)
