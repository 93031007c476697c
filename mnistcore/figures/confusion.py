"""The confusion matrix as a figure."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from . import style

_NUMBERED = 20  # classes up to which the cells hold numbers
_SMALL = 12  # classes up to which a small figure is enough


def confusion_matrix(
    confusion: np.ndarray,
    class_names: Sequence[str],
    *,
    normalize: bool = False,
    mask_diagonal: bool = False,
) -> Figure:
    """Draw the confusion matrix as a heat map, with numbers if there are at most 20 classes.

    Parameters
    ----------
    confusion
        (C, C) counts, true classes by row.
    class_names
        C names.
    normalize
        Show each count as a percentage of its row. A class without samples stays empty.
    mask_diagonal
        Leave correct predictions blank, so that the colours distinguish the mistakes.

    Raises
    ------
    ValueError
        If the matrix does not have one row and column per name.
    """
    n = len(class_names)
    if confusion.shape != (n, n):
        raise ValueError(f"{n} class names do not fit a confusion matrix {confusion.shape}")
    values = confusion.astype(np.float64)
    if normalize:
        totals = confusion.sum(axis=1, keepdims=True)
        values = np.full((n, n), np.nan)
        np.divide(100.0 * confusion, totals, out=values, where=totals > 0)
    if mask_diagonal:
        np.fill_diagonal(values, np.nan)
    figure = style.new_figure(6.4, 7.4) if n <= _SMALL else style.new_figure(8.2)
    axes = figure.add_subplot()
    largest = np.nanmax(values) if np.isfinite(values).any() else 0.0
    image = axes.imshow(
        values, cmap="Oranges" if mask_diagonal else style.SEQUENTIAL_MAP,
        vmin=0, vmax=largest or 1.0,
    )  # fmt: skip
    if n <= _NUMBERED:
        _write_numbers(axes, values, largest, normalize)
    what = "Mistakes" if mask_diagonal else "Confusion matrix"
    unit = ", % of the true class" if normalize else ", counts"
    style.dress(axes, what + unit, "predicted class", "true class")
    _name_ticks(axes, class_names)
    for spine in axes.spines.values():
        spine.set_visible(False)
    style.colour_bar(figure, image, axes)
    return figure


def _write_numbers(axes: style.Axes, values: np.ndarray, largest: float, shares: bool) -> None:
    size = style.LABEL if len(values) <= 10 else 6.5
    for (row, column), value in np.ndenumerate(values):
        if not value > 0:
            continue
        text = f"{value:.1f}" if shares else f"{value:.0f}"
        if text == "0.0":
            text = "<0.1"
        colour = "white" if value > 0.55 * largest else style.INK
        axes.text(column, row, text, ha="center", va="center", fontsize=size, color=colour)


def _name_ticks(axes: style.Axes, class_names: Sequence[str]) -> None:
    places, names = style.class_places(class_names)
    turned = 90 if max(map(len, names)) > 3 else 0
    size = style.SMALL if len(class_names) <= 30 else 7.5
    axes.set_xticks(places, names, rotation=turned, fontsize=size)
    axes.set_yticks(places, names, fontsize=size)
