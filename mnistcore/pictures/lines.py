"""Find several digits in one picture: the lines of digits, and the marks that form each digit."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .files import Picture, shrink
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
from .splitting import Judge, Lifted, split

WORK = 1400  # pixels of the long side: in a line of twenty digits each still has about sixty
_WINDOWS = (0.5, 0.2, 0.1)  # of the short side
_DOUBT = 0.4  # reduction of the score for the least plausible polarity
_CLEAR_VOTE = 0.8  # against the other polarity: the first good view is then accepted
_MAX_MARKS = 2000
_MOST_DIGITS = 400  # in a picture: about ten seconds
# Marks at the edge of the picture are counted if their length, in heights of a digit, is between.
_AT_EDGE = (0.5, 1.6)
# Two strokes side by side may be a 4: at most this far apart, and together at most this wide.
_GAP, _WIDTH = 0.25, 1.2
# Writing on more than _PAGE marks is refused as a page of text if less than _CLEAR of a sample of
# as many are clearly digits: 0.7 and more in lists of names and numbers, 0.25 and less in text.
_PAGE, _CLEAR = 60, 0.45

Test = Callable[[list[np.ndarray]], np.ndarray]  # takes N inks as in `Piece`; returns (N,) bool


@dataclass(frozen=True, eq=False)
class Piece:
    """A digit of a line.

    Attributes
    ----------
    ink
        (H, W) float32, above one half where there is ink of this digit.
    box
        Left, top, right, bottom in the file's pixels.
    line
        Number of its line, from 0 at the top.
    """

    ink: np.ndarray
    box: tuple[float, float, float, float]
    line: int


class TooManyMarksError(NoDigitError):
    """There are more marks than digits could be read in reasonable time."""


def find_digits(
    picture: Picture, judge: Judge, is_four: Test | None = None, is_clear: Test | None = None
) -> tuple[list[Piece], int]:
    """Cut out all digits of a picture, line by line, from left to right.

    Parameters
    ----------
    picture
    judge
        Takes N inks (H, W) as in :class:`Piece`; returns the highest class probability (N,) of
        each.
    is_four
        Which inks are a 4; if given, the two strokes of an open 4 are joined.
    is_clear
        Which inks are clearly digits; if given, pages of text are refused.

    Returns
    -------
    pieces
    at_edge
        How many marks as long as a digit were left out because they lie along the edge of the
        picture, as light, shade and tables do.

    Raises
    ------
    NoDigitError
        If there are none, too many, or it is a page of text. A subclass of ValueError.
    """
    factor = -(-max(picture.pixels.shape[:2]) // WORK)
    ink, regions, keep = _best_view(prepared(shrink(picture.pixels, factor)))
    inked = regions.labels >= 0

    def lift(own: np.ndarray) -> Lifted:
        return lifted(ink.strength, own, inked)

    def lift_group(group: np.ndarray) -> np.ndarray:
        return lift(regions.mask(_chosen(regions, group)))[0]

    lines = []
    for line in _text_lines(regions, keep):
        height = _height_of(regions, line)
        lines.append((height, _groups(regions, line, height)))
    groups = [group for _, in_line in lines for group in in_line]
    if len(groups) > _PAGE and is_clear is not None:
        _see_that_no_text(groups, lift_group, is_clear)
    if len(groups) > _MOST_DIGITS:
        raise TooManyMarksError(
            f"there are {len(groups)} marks, and at most {_MOST_DIGITS} digits are read in a"
            " picture; cut it into parts"
        )
    scale = picture.scale * factor
    pieces = []
    for number, (height, in_line) in enumerate(lines):
        for group, whole in _joined(regions, in_line, height, lift_group, is_four):
            for own in [whole] if whole is not None else split(regions, group, height, lift, judge):
                cut, (left, top, right, bottom) = lift(own)
                box = (left * scale, top * scale, right * scale, bottom * scale)
                pieces.append(Piece(cut, box, number))
    if not pieces:
        raise NoDigitError("there are only specks")
    return pieces, _left_at_edge(regions, keep)


def _chosen(regions: Regions, group: np.ndarray) -> np.ndarray:
    chosen = np.zeros(len(regions), bool)
    chosen[group] = True
    return chosen


def _see_that_no_text(
    groups: list[np.ndarray], lift: Callable[[np.ndarray], np.ndarray], is_clear: Test
) -> None:
    """Raise NoDigitError if a sample of the groups shows that they are not digits."""
    sample = np.linspace(0, len(groups) - 1, _PAGE).astype(int)
    clear = int(is_clear([lift(groups[i]) for i in sample]).sum())
    if clear < _CLEAR * _PAGE:
        raise TooManyMarksError(
            f"it looks like a page of text: of {_PAGE} of its {len(groups)} marks only {clear} are"
            " clearly digits; cut out the part with the digits"
        )


def _joined(
    regions: Regions,
    line: list[np.ndarray],
    height: float,
    lift: Callable[[np.ndarray], np.ndarray],
    is_four: Test | None,
) -> list[tuple[np.ndarray, np.ndarray | None]]:
    """Join neighbouring groups of a line that are the two strokes of a 4.

    Returns
    -------
    list of (group, whole)
        ``whole`` is the mask (H, W) of two groups that were joined; None for other groups.
    """
    near = []
    if is_four is None:
        return [(group, None) for group in line]
    for i in range(len(line) - 1):
        right, next_left = regions.right[line[i]].max(), regions.left[line[i + 1]].min()
        width = max(right, regions.right[line[i + 1]].max()) - regions.left[line[i]].min()
        if next_left - right < _GAP * height and width < _WIDTH * height:
            near.append(i)
    both = {i: np.concatenate(line[i : i + 2]) for i in near}
    fours = is_four([lift(group) for group in both.values()]) if both else np.zeros(0, bool)
    yes = {i for i, four in zip(both, fours, strict=True) if four}
    joined: list[tuple[np.ndarray, np.ndarray | None]] = []
    i = 0
    while i < len(line):
        if i in yes:
            joined.append((both[i], regions.mask(_chosen(regions, both[i]))))
            i += 1
        else:
            joined.append((line[i], None))
        i += 1
    return joined


def _left_at_edge(regions: Regions, keep: np.ndarray) -> int:
    """Return how many regions at the edge of the picture may be digits, but are not kept."""
    height = _weighted_median((regions.bottom - regions.top)[keep], regions.area[keep])
    length = regions.long_side / height
    left_out = ~keep & (regions.contact > 0) & (length > _AT_EDGE[0]) & (length < _AT_EDGE[1])
    return int((left_out & ~is_frame(regions)).sum())


def _best_view(grey: np.ndarray) -> tuple[Ink, Regions, np.ndarray]:
    """Return the best view: its ink, its regions, and which of them may be digits.

    A patch of light or shade may be mistaken for the paper, and its rim for strokes. So unless
    the first view is clear, all are examined, and the one wins whose marks look most like pen
    strokes: thin, of even width, well separated from the paper, and inside the picture.
    """
    best: tuple[float, Ink, Regions, np.ndarray] | None = None
    reasons = []
    votes = polarities(grey)
    for _, ink in inks_of(grey, votes, min(grey.shape), _WINDOWS):
        clear_vote = votes[not ink.dark] > _CLEAR_VOTE
        try:
            regions = find_marks(ink, ink.strength)
            keep = _legible(regions)
        except TooManyMarksError:
            if votes[not ink.dark] > 0.5:
                raise
            reasons.append("there are too many marks for digits")
            continue
        except NoDigitError as error:
            reasons.append(str(error))
            continue
        kept = regions.area[keep].sum() / regions.area.sum()
        clear = support(ink, regions, keep) * (1 - _DOUBT * votes[ink.dark])
        if kept * clear > 0.85 and clear_vote:
            return ink, regions, keep
        score = clear * kept**0.1 * _stroke_like(regions, keep)
        if best is None or score > best[0]:
            best = score, ink, regions, keep
    if best is None:
        raise NoDigitError(reasons[0])
    return best[1:]


def _stroke_like(regions: Regions, keep: np.ndarray) -> float:
    """Rate how much some regions look like strokes of one pen, from 0 to 1."""
    area, width = regions.area[keep], np.log(regions.width[keep])
    mean = np.average(width, weights=area)
    uneven = np.average((width - mean) ** 2, weights=area) ** 0.5
    thick = np.exp(mean) / _weighted_median((regions.bottom - regions.top)[keep], area)
    at_rim = (regions.contact[keep] > 0).mean()
    penalty = 4 * max(thick - 0.1, 0) + 0.5 * max(uneven - 0.2, 0)
    return float(np.exp(-penalty) * (1 - 0.5 * at_rim))


def _legible(regions: Regions) -> np.ndarray:
    """Return which regions may be digits or parts of them, (N,) bool."""
    if len(regions) > _MAX_MARKS:
        raise TooManyMarksError(
            f"there are {len(regions):,} marks, too many for digits: a page of text, or a texture"
        )
    able = ~(is_frame(regions) | is_rule(regions) | (is_blob(regions) & (regions.contact > 0)))
    able &= ~_along_rim(regions, able)
    if not able.any():
        raise NoDigitError("nothing there has the shape of a digit")
    height = _weighted_median((regions.bottom - regions.top)[able], regions.area[able])
    able &= regions.long_side >= 0.12 * height
    able &= ~(is_blob(regions) & (regions.long_side < 0.45 * height))
    able &= regions.bottom - regions.top < 4 * height
    if not able.any():
        raise NoDigitError("there are only specks")
    return able


def _along_rim(regions: Regions, able: np.ndarray) -> np.ndarray:
    """Return which regions (N,) are light, shade or a table that enters from the rim.

    In a closely cropped picture a digit may lie along the rim too, but then it is as tall as the
    others and has the same stroke width.
    """
    share = regions.contact * regions.width / (2 * regions.area)  # of its outline
    along = able & (share > 0.3)
    others = able & ~along
    if not others.any():
        return np.zeros_like(able)
    area = regions.area[others]
    width = _weighted_median(regions.width[others], area)
    length = _weighted_median(regions.long_side[others], area)
    return along & ((regions.width > 1.5 * width) | (regions.long_side > 1.3 * length))


def _weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    order = np.argsort(values)
    below = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(below, below[-1] / 2)])


def _height_of(regions: Regions, line: np.ndarray) -> float:
    heights = (regions.bottom - regions.top)[line]
    return _weighted_median(heights, heights)


def _text_lines(regions: Regions, keep: np.ndarray) -> list[np.ndarray]:
    """Return the indices of the regions of each line, top to bottom; lines may be tilted."""
    index = np.flatnonzero(keep)
    heights = regions.bottom - regions.top
    height = _weighted_median(heights[index], regions.area[index])
    tall = index[heights[index] > 0.5 * height]
    x = (regions.left + regions.right) / 2
    y = (regions.top + regions.bottom) / 2
    level = y - _tilt(x[tall], y[tall], height) * x
    order = tall[np.argsort(level[tall], kind="stable")]
    breaks = np.flatnonzero(np.diff(level[order]) > 0.55 * height) + 1
    lines = np.split(order, breaks)
    centres = np.array([np.median(level[line]) for line in lines])
    for part in np.setdiff1d(index, tall):
        nearest = int(np.abs(centres - level[part]).argmin())
        if abs(centres[nearest] - level[part]) < 0.8 * height:
            lines[nearest] = np.append(lines[nearest], part)
    return lines


def _tilt(x: np.ndarray, y: np.ndarray, height: float) -> float:
    """Return the median slope from each mark to the next one on its right."""
    slopes = []
    for i in range(len(x)):
        right = (x > x[i]) & (np.abs(y - y[i]) < 0.6 * height) & (x - x[i] < 3 * height)
        if right.any():
            j = int(np.where(right, x, np.inf).argmin())
            slopes.append((y[j] - y[i]) / (x[j] - x[i]))
    return float(np.median(slopes)) if slopes else 0.0


def _groups(regions: Regions, line: np.ndarray, height: float) -> list[np.ndarray]:
    """Group the regions of a line into digits, or several that touch, from left to right."""
    order = line[np.argsort(regions.left[line], kind="stable")]
    groups: list[list[int]] = []
    reach: list[tuple[int, int]] = []
    for place, i in enumerate(order):
        left, right = int(regions.left[i]), int(regions.right[i])
        small = regions.bottom[i] - regions.top[i] < 0.55 * height
        following = order[place + 1 :][:1]
        ahead = regions.left[following] - right  # the gap to the next region, if there is one
        if groups:
            first, last = reach[-1]
            shared = min(last, right) - left
            before = regions.bottom[groups[-1]].max() - regions.top[groups[-1]].min()
            narrower = max(min(right - left, last - first), 1)
            either = small or before < 0.55 * height
            either &= not (small and (ahead < -shared).any())  # it is the next one's
            if shared > 0.5 * narrower or (either and shared > -0.12 * height):
                groups[-1].append(int(i))
                reach[-1] = first, max(last, right)
                continue
        groups.append([int(i)])
        reach.append((left, right))
    tall = [
        np.array(group)
        for group in groups
        if regions.bottom[group].max() - regions.top[group].min() >= 0.4 * height
    ]
    return tall
