"""Galleries of images with the network's predictions."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ..models.metrics import percent
from . import style

_COLUMNS, _FEWER_COLUMNS = 4, 3  # of cards: the latter where names are long
_SHORT_NAME, _LONG_NAME = 6, 12  # characters
_IMAGE = 0.85  # inches, of the longer side
_LINE = 0.235  # inches from one bar to the next
_BARS = 3  # classes that a card lists
_HEAD = 0.27  # inches for the card's heading
_GAP = 0.2


def predictions_gallery(
    images: np.ndarray,
    labels: np.ndarray,
    probabilities: np.ndarray,
    class_names: Sequence[str],
    indices: Sequence[int] | np.ndarray | None = None,
) -> Figure:
    """Draw each image with its true label and the probabilities of its likeliest classes.

    Parameters
    ----------
    images
        (N, H, W); more than a few dozen are hard to read.
    labels
        (N,) class ids.
    probabilities
        (N, C).
    class_names
        C names.
    indices
        (N,) numbers to show with the images; None shows none.

    Raises
    ------
    ValueError
        If the lengths differ.
    """
    if not len(images) == len(labels) == len(probabilities):
        raise ValueError(
            f"{len(images)} images, {len(labels)} labels and {len(probabilities)} rows of"
            " probabilities do not fit"
        )
    short = max(map(len, class_names), default=0) <= _SHORT_NAME
    columns = _COLUMNS if short else _FEWER_COLUMNS
    rows = max(1, -(-len(images) // columns))
    cell = style.WIDTH / columns
    card = _HEAD + max(_IMAGE, _BARS * _LINE) + _GAP
    height = rows * card
    figure = style.Picture(figsize=(style.WIDTH, height), facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    style.bare(axes)
    if not len(images):
        style.say(axes, "no images")
    for place, image in enumerate(images):
        left, top = place % columns * cell + 0.1, height - place // columns * card - 0.05
        index = None if indices is None else int(indices[place])
        name = style.plain(class_names[int(labels[place])], _LONG_NAME)
        _draw_card(axes, left, top, cell - 0.25, image, name, index)
        bars = left + _IMAGE + 0.1, top - _HEAD, cell - _IMAGE - 0.25
        _draw_bars(axes, *bars, probabilities[place], int(labels[place]), class_names)
    axes.set_xlim(0, style.WIDTH)
    axes.set_ylim(0, height)
    return figure


def mistakes_gallery(
    images: np.ndarray,
    labels: np.ndarray,
    probabilities: np.ndarray,
    class_names: Sequence[str],
    indices: Sequence[int] | np.ndarray | None = None,
    most: int = 20,
) -> Figure:
    """Draw the misclassified images, the most confident mistakes first.

    Takes any number of images and shows at most ``most``. Other parameters and errors are those
    of :func:`predictions_gallery`.
    """
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != labels)
    confidences = probabilities[wrong].max(axis=1)
    rows = wrong[np.argsort(-confidences, kind="stable")][:most]
    known_by = rows if indices is None else np.asarray(indices)[rows]
    return predictions_gallery(
        images[rows], labels[rows], probabilities[rows], class_names, known_by
    )


def _draw_card(
    axes: Axes,
    left: float,
    top: float,
    width: float,
    image: np.ndarray,
    name: str,
    index: int | None,
) -> None:
    """Draw the image below its true label, on a card ``width`` inches wide."""
    axes.text(
        left, top - _HEAD / 2, f"is {name}", va="center", fontsize=style.LABEL,
        fontweight="bold", color=style.INK,
    )  # fmt: skip
    if index is not None:
        axes.text(
            left + width, top - _HEAD / 2, f"no. {index:,}", va="center", ha="right",
            fontsize=style.SMALL - 1, color=style.FAINT_INK,
        )  # fmt: skip
    pixels = style.as_image(np.asarray(image), image.shape)
    scale = _IMAGE / max(pixels.shape)
    across, height = pixels.shape[1] * scale, pixels.shape[0] * scale
    bottom = top - _HEAD - height
    axes.imshow(
        pixels, cmap=style.IMAGE_MAP, extent=(left, left + across, bottom, bottom + height),
        aspect="auto", interpolation="nearest",
    )  # fmt: skip
    axes.add_patch(
        Rectangle((left, bottom), across, height, fill=False, edgecolor=style.EDGE, linewidth=0.6)
    )


def _draw_bars(
    axes: Axes,
    left: float,
    top: float,
    width: float,
    shares: np.ndarray,
    label: int,
    class_names: Sequence[str],
) -> None:
    """Draw the likeliest classes: the true one blue, a wrong prediction orange, others grey."""
    order = np.argsort(-shares, kind="stable")[:_BARS]
    names = [style.plain(class_names[i], _LONG_NAME) for i in order]
    longest = max(map(len, names))
    start = left + 0.1 + 0.085 * longest
    room = max(left + width - start - 0.6, 0.15)  # the rest is for the number
    for line, i in enumerate(order):
        middle = top - (line + 0.5) * _LINE
        colour = style.RIGHT if i == label else style.WRONG if line == 0 else style.GREY
        share = float(shares[i])
        length = max(room * share, 0.01)
        axes.add_patch(Rectangle((start, middle - 0.06), length, 0.12, color=colour, linewidth=0))
        weight = "bold" if line == 0 else "normal"
        settings: Any = {"va": "center", "fontsize": style.SMALL, "fontweight": weight}
        ink = style.FAINT_INK if colour == style.GREY else colour
        axes.text(start - 0.06, middle, names[line], ha="right", color=ink, **settings)
        axes.text(
            start + length + 0.05, middle, _careful_percent(share), color=style.INK, **settings
        )


def _careful_percent(share: float) -> str:
    """Write a share in percent, never rounded to 0 or 100 unless it is exact."""
    if 0 < share < 0.0005:
        return "<0.1 %"
    if 0.9995 <= share < 1:
        return ">99.9 %"
    return percent(share, 1)
