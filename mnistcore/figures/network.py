"""Figures of what a network has learnt: first-layer weights and hidden activations."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import CenteredNorm
from matplotlib.figure import Figure

from ..models.model import Model
from . import style
from .projection import principal_components

_MOST_UNITS = 64  # of the first layer
_MOST_COLUMNS = 128  # of a map of activations
_MOST_POINTS = 2000  # of a projection: more would hide each other
_LABELS_ACROSS, _NAMES_ACROSS = (18, 12), (9, 20)  # of a projection, side by side and above


def first_layer_weights(model: Model, most: int = _MOST_UNITS) -> Figure:
    """Draw the weights from the pixels to each unit of the first layer, as images.

    All share one symmetric colour scale: red pixels excite a unit, blue ones inhibit it, and
    white ones have no effect. Of more than ``most`` units, those with the largest weight norms
    are shown, in their original order.
    """
    weights, _ = model.network.views(model.params)[0]
    chosen = np.arange(weights.shape[1])
    if len(chosen) > most:
        chosen = np.sort(np.argsort(-np.linalg.norm(weights, axis=0), kind="stable")[:most])
    tiles = np.stack([style.as_image(weights[:, unit], model.input_shape) for unit in chosen])
    height, width = tiles.shape[1:]
    columns = _whole_rows(len(chosen), width / height)
    sheet = style.mosaic(tiles, columns, gap=max(1, width // 14))
    reach = float(np.nanpercentile(np.abs(sheet), 99.8)) or 1.0
    tall = 0.85 * style.WIDTH * sheet.shape[0] / sheet.shape[1]
    figure = style.new_figure(float(np.clip(tall, 1.2, 12)) + 0.4)
    axes = figure.add_subplot()
    drawn = axes.imshow(
        sheet, cmap=style.DIVERGING_MAP, norm=CenteredNorm(0, reach), interpolation="nearest"
    )
    of = f" of {weights.shape[1]:,}" if len(chosen) < weights.shape[1] else ""
    style.bare(axes, f"Weights into {len(chosen)}{of} units of the first layer")
    style.colour_bar(figure, drawn, axes)
    return figure


def _whole_rows(count: int, shape: float) -> int:
    """Return the number of columns of a grid, near 1.9 times as wide as high, with no hole in it.

    ``shape`` is a tile's width by its height. If only a very long row would have no hole, the
    last row is not full.
    """

    def cost(columns: int) -> float:
        rows = -(-count // columns)
        holes = rows * columns - count
        return abs(np.log(columns * shape / rows / 1.9)) + (2 + holes / count if holes else 0)

    return min(range(1, count + 1), key=cost)


def saliency(images: np.ndarray, gradients: np.ndarray) -> Figure:
    """Draw images, and beneath each how its pixels speak for the network's answer.

    Red pixels speak for it and blue ones against it, on a scale of each image's own.

    Parameters
    ----------
    images
        (N, H, W), or (N, pixels) that make a square; more than a dozen are hard to read.
    gradients
        Of the same shape, from :meth:`.Model.saliency`.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if images.shape != gradients.shape:
        raise ValueError(f"images {images.shape} and gradients {gradients.shape} do not fit")
    figure = style.new_figure(2.1)
    rows = figure.subplots(2, max(len(images), 1), squeeze=False).T
    if not len(images):
        style.say(rows[0, 0], "no images")
    for axes, image, gradient in zip(rows, images, gradients, strict=False):
        axes[0].imshow(style.as_image(image, image.shape), cmap=style.IMAGE_MAP)
        drawn = style.as_image(gradient, gradient.shape)
        reach = float(np.nanmax(np.abs(drawn), initial=0)) or 1.0
        axes[1].imshow(drawn, cmap=style.DIVERGING_MAP, norm=CenteredNorm(0, reach))
    for axes in rows.flat:
        style.bare(axes, frame=True)
    return figure


def hidden_activations(
    activations: Sequence[np.ndarray], labels: np.ndarray, class_names: Sequence[str]
) -> Figure:
    """Draw for each hidden layer the mean activation of its units by class, and all its values.

    Parameters
    ----------
    activations
        (N, units) of each hidden layer, as :class:`.ForwardPass` has them.
    labels
        (N,) class ids.
    class_names
        One name per class.
    """
    if not activations:
        figure = style.new_figure(1.0)
        style.say(figure.add_subplot(), "the network has no hidden layer")
        return figure
    tall = min(max(2.6, 0.14 * len(class_names) + 0.7), 9.5)
    figure = style.new_figure(tall * len(activations) + 0.2)
    panels = figure.subplots(len(activations), 2, width_ratios=(2.2, 1), squeeze=False)
    for number, (layer, (by_class, values)) in enumerate(zip(activations, panels, strict=True), 1):
        _draw_class_means(figure, by_class, layer, labels, class_names)
        units = layer.shape[1]
        of = f"{_MOST_COLUMNS} of {units:,}" if units > _MOST_COLUMNS else f"{units:,}"
        title = f"Hidden layer {number}: mean by class of {of} units"
        style.dress(by_class, title, "unit", "class")
        _draw_values(values, layer)
    return figure


def _draw_class_means(
    figure: Figure, axes: Axes, layer: np.ndarray, labels: np.ndarray, class_names: Sequence[str]
) -> None:
    shown = layer[:, :_MOST_COLUMNS]
    means = np.full((len(class_names), shown.shape[1]), np.nan)
    for row in range(len(class_names)):
        members = labels == row
        if members.any():
            means[row] = shown[members].mean(axis=0, dtype=np.float64)
    reach = float(np.nanmax(np.abs(means))) if np.isfinite(means).any() else 1.0
    signed = bool((means < 0).any())
    drawn = axes.imshow(
        means,
        cmap=style.DIVERGING_MAP if signed else style.SEQUENTIAL_MAP,
        vmin=-reach if signed else 0,
        vmax=reach or 1.0,
        aspect="auto",
        interpolation="nearest",
    )
    axes.set_yticks(*style.class_places(class_names))
    style.whole_numbers(axes.xaxis)
    style.colour_bar(figure, drawn, axes)


def _draw_values(axes: Axes, layer: np.ndarray) -> None:
    # Edges in float64: float32 has not 40 numbers between values that differ in their rounding.
    reach = (np.float64(layer.min()), np.float64(layer.max())) if layer.size else None
    counts, edges = np.histogram(layer, 40, reach)
    shares = 100 * counts / max(layer.size, 1)
    if style.spans_decades(shares[shares > 0]):
        seen = shares > 0
        middles = (edges[:-1] + edges[1:]) / 2
        axes.plot(middles[seen], shares[seen], "o", color=style.BLUE, markersize=4)
        axes.set_yscale("log")
    else:
        axes.stairs(shares, edges, fill=True, color=style.BLUE)
    zeros = float(np.mean(layer == 0))
    silent = int((layer == layer[:1]).all(axis=0).sum())
    if silent:
        text = "1 unit never changes" if silent == 1 else f"{silent:,} units never change"
        axes.text(
            0.98, 0.95, text, ha="right", va="top", fontsize=style.SMALL, color=style.INK,
            transform=axes.transAxes,
        )  # fmt: skip
    title = f"{100 * zeros:.0f} % are 0" if zeros > 0.01 else "All values"
    style.dress(axes, title, "activation", "% of values", grid="y")


def hidden_projection(
    activations: np.ndarray, labels: np.ndarray, class_names: Sequence[str]
) -> Figure:
    """Draw the outputs of a layer in the plane of their first two principal components.

    Parameters
    ----------
    activations
        (N, units); only the first 2,000 samples are drawn.
    labels
        (N,) class ids.
    class_names
        One name per class, drawn at the median of the class.
    """
    points, shares = principal_components(activations[:_MOST_POINTS])
    labels = labels[:_MOST_POINTS]
    figure = style.new_figure(6.2)
    axes = figure.add_subplot()
    present = [row for row in range(len(class_names)) if (labels == row).any()]
    middles = np.array([np.median(points[labels == row], axis=0) for row in present])
    extent = np.ptp(points, axis=0) if len(points) else np.ones(2)
    room = extent / _LABELS_ACROSS if max(map(len, class_names)) <= 2 else extent / _NAMES_ACROSS
    for row, place in zip(present, _apart(middles, room), strict=True):
        name, colour = class_names[row], style.COLOURS[row % len(style.COLOURS)]
        own = points[labels == row]
        single = len(name) == 1 and name.isascii() and name.isalnum()
        axes.scatter(
            own[:, 0], own[:, 1], s=26 if single else 12, marker=f"${name}$" if single else "o",
            color=colour, alpha=0.75, linewidths=0, rasterized=True,
        )  # fmt: skip
        axes.annotate(
            style.plain(name, 14), place, ha="center", va="center",
            fontsize=_name_size(len(present), name), fontweight="bold", color=colour,
            bbox={"boxstyle": "round,pad=0.25", "facecolor": "white", "edgecolor": colour,
                  "alpha": 0.9},
        )  # fmt: skip
    along, across = (f"{100 * share:.0f} % of the variance" for share in shares)
    style.dress(
        axes, f"{len(points):,} images", f"component 1, {along}", f"component 2, {across}", "both"
    )
    return figure


def _name_size(count: int, name: str) -> float:
    """Return the size in points of a class's name: large for a few digits, small for words."""
    return 15 if count <= 12 and len(name) <= 2 else 10 if len(name) <= 2 else 8


def _apart(places: np.ndarray, room: np.ndarray) -> np.ndarray:
    """Push places (K, 2) apart until no two are much closer than ``room`` (2,)."""
    unit = np.where(room > 0, room, 1.0)
    places = places / unit
    for _ in range(50):
        for i in range(len(places)):
            away = places[i] - places
            distance = np.hypot(*away.T)
            near = (distance < 1) & (np.arange(len(places)) != i)
            if near.any():
                direction = away[near] + (0.0, 1e-6 * (i + 1))  # separates equal places
                direction /= np.hypot(*direction.T)[:, None]
                places[i] += (direction * (1 - distance[near])[:, None]).sum(axis=0) / 2
    return places * unit
