"""Figures of a data set and of its preprocessing."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..data.preprocess import as_bytes, pixel_range, scale_images
from . import style

_MOST_ROWS = 62  # classes on a sample sheet: all of EMNIST
_BESIDE = 16  # classes up to which two panels stand side by side
_UPRIGHT = 40  # letters that fit side by side below half a figure
_CLOSE = 8  # pixels a side of the close-up with numbers
_BINS = 32  # of the histogram of pixel values


def class_distribution(splits: Mapping[str, np.ndarray], class_names: Sequence[str]) -> Figure:
    """Draw the number of images of each class, and its share of each split.

    Parameters
    ----------
    splits
        Labels (N,) by the name of the split; empty splits are left out.
    class_names
        One name per class.
    """
    n = len(class_names)
    beside = n <= _BESIDE
    figure = style.new_figure(3.6 if beside else 6.0)
    numbers, shares = figure.subplots(1, 2) if beside else figure.subplots(2, 1)
    filled = {name: labels for name, labels in splits.items() if len(labels)}
    width = 0.8 / max(len(filled), 1)
    for place, (name, labels) in enumerate(filled.items()):
        counts = np.bincount(labels, minlength=n)[:n]
        at = np.arange(n) + (place - (len(filled) - 1) / 2) * width
        look = {"color": style.COLOURS[place], "label": f"{style.plain(name)}, {len(labels):,}"}
        numbers.bar(at, counts, 0.92 * width, **look)
        shares.bar(at, 100 * counts / len(labels), 0.92 * width, **look)
    shares.axhline(100 / n, color=style.FAINT_INK, linestyle="--", linewidth=1)
    style.dress(numbers, "Images of each class", "class", "images", grid="y")
    style.dress(shares, "Share of each class in its split", "class", "%", grid="y")
    for axes in (numbers, shares):
        _name_classes(axes, class_names)
    style.whole_numbers(numbers.yaxis)
    style.legend_below(figure, numbers, len(filled))
    return figure


def _name_classes(axes: Axes, class_names: Sequence[str]) -> None:
    places, names = style.class_places(class_names)
    crowded = sum(map(len, names)) > _UPRIGHT and max(map(len, names)) > 1
    turned = 90 if crowded else 0
    axes.set_xticks(places, names, rotation=turned)


def sample_sheet(
    images: np.ndarray,
    labels: np.ndarray,
    class_names: Sequence[str],
    *,
    per_class: int = 16,
    seed: int = 0,
) -> Figure:
    """Draw random images of each class, one class per row.

    Parameters
    ----------
    images
        (N, H, W).
    labels
        (N,) class ids.
    class_names
        One name per class; only the first 62 classes are shown.
    per_class
        The most images per row.
    seed
        Seed of the random choice.
    """
    rng = np.random.default_rng(seed)
    shown = class_names[:_MOST_ROWS]
    height, width = images.shape[1:]
    tiles = np.full((len(shown) * per_class, height, width), np.nan)
    for row in range(len(shown)):
        members = np.flatnonzero(labels == row)
        chosen = np.sort(rng.permutation(members)[:per_class])
        tiles[row * per_class : row * per_class + len(chosen)] = images[chosen]
    sheet = style.mosaic(tiles, per_class, gap=max(2, width // 10))
    figure = style.new_figure(min(0.97 * style.WIDTH * sheet.shape[0] / sheet.shape[1], 30) + 0.1)
    axes = figure.add_subplot()
    full = pixel_range(images)
    axes.imshow(sheet, cmap=style.IMAGE_MAP, vmin=0, vmax=full, interpolation="nearest")
    style.bare(axes)
    pitch = sheet.shape[0] / len(shown)
    names = [style.plain(name, 12) for name in shown]
    axes.set_yticks((np.arange(len(shown)) + 0.5) * pitch, names)
    axes.tick_params(axis="y", labelsize=style.LABEL, labelcolor=style.INK)
    return figure


def deformations(images: np.ndarray, deformed: np.ndarray) -> Figure:
    """Draw each image in a row with what augmentation made of it in several epochs.

    Parameters
    ----------
    images
        (N, H, W).
    deformed
        (N, E, H, W), the images of E epochs.
    """
    _, epochs, height, width = deformed.shape
    gap = max(2, width // 10)
    left = style.mosaic(images, 1, gap)
    right = style.mosaic(deformed.reshape(-1, height, width), epochs, gap)
    sheet = np.hstack([left, np.full((len(left), 3 * gap), np.nan), right])
    figure = style.new_figure(0.97 * style.WIDTH * sheet.shape[0] / sheet.shape[1] + 0.4)
    axes = figure.add_subplot()
    axes.imshow(
        sheet, cmap=style.IMAGE_MAP, vmin=0, vmax=pixel_range(images), interpolation="nearest"
    )
    style.bare(axes)
    axes.xaxis.tick_top()
    places = width + 3 * gap + np.arange(epochs) * (width + gap)
    middles = np.array([0, *places]) + (width - 1) / 2
    axes.set_xticks(middles, ["image", *(f"epoch {epoch}" for epoch in range(1, epochs + 1))])
    axes.tick_params(axis="x", labelsize=style.LABEL, labelcolor=style.INK)
    return figure


def pixel_statistics(images: np.ndarray, pixel_max: float = 255.0) -> Figure:
    """Draw the mean image, the standard deviation of each pixel, and a histogram of the values.

    Parameters
    ----------
    images
        (N, H, W) uint8 or float32, N at least 1.
    pixel_max
        The value of full ink.
    """
    figure = style.new_figure(3.0)
    mean_axes, std_axes, histogram = figure.subplots(1, 3, width_ratios=(1, 1, 1.3))
    mean, std, counts = _moments(images, pixel_max)
    drawn = mean_axes.imshow(mean, cmap=style.IMAGE_MAP, vmin=0)
    style.bare(mean_axes, "Mean of each pixel", frame=True)
    style.colour_bar(figure, drawn, mean_axes)
    drawn = std_axes.imshow(std, cmap=style.SEQUENTIAL_MAP, vmin=0)
    style.bare(std_axes, "Standard deviation", frame=True)
    style.colour_bar(figure, drawn, std_axes)
    shares, full = 100 * counts / counts.sum(), pixel_max * (1 + 1 / 255)
    middles = (np.arange(_BINS) + 0.5) * full / _BINS
    bins = shares.reshape(_BINS, -1).sum(axis=1)
    histogram.plot(middles[bins > 0], bins[bins > 0], "o", color=style.BLUE, markersize=4)
    if style.spans_decades(bins[bins > 0]):
        histogram.set_yscale("log")
    histogram.set_xlim(0, full)
    title = f"Values ({shares[0]:.0f} % are 0)"
    style.dress(histogram, title, "pixel value", "% of all pixels", grid="y")
    return figure


def _moments(images: np.ndarray, pixel_max: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the mean and standard deviation (H, W) of the pixels, and counts (256,) of greys."""
    total = np.zeros(images.shape[1:])
    squares, counts = np.zeros_like(total), np.zeros(256, np.int64)
    for start in range(0, len(images), 1000):  # all in float64 would need much memory
        part = images[start : start + 1000]
        total += part.sum(axis=0, dtype=np.float64)
        squares += (part.astype(np.float64) ** 2).sum(axis=0)
        counts += np.bincount(as_bytes(part, pixel_max).reshape(-1), minlength=256)
    mean = total / len(images)
    return mean, np.sqrt(np.maximum(squares / len(images) - mean**2, 0)), counts


def _draw_numbers(axes: Axes, x: np.ndarray, low: float, high: float) -> None:
    """Draw a few pixels around the middle of the ink, with their values."""
    ink = np.abs(x - low)
    spots = np.indices(x.shape).reshape(2, -1)
    middle = spots @ ink.reshape(-1) / ink.sum() if ink.any() else np.array(x.shape) / 2
    top, left = (
        int(np.clip(round(at) - _CLOSE // 2, 0, max(length - _CLOSE, 0)))
        for at, length in zip(middle, x.shape, strict=True)
    )
    part = x[top : top + _CLOSE, left : left + _CLOSE]
    axes.imshow(part, cmap=style.IMAGE_MAP, vmin=low, vmax=high, interpolation="nearest")
    for (row, column), value in np.ndenumerate(part):
        colour = "white" if value > (low + high) / 2 else style.INK
        axes.text(column, row, f"{value:.1f}", ha="center", va="center", fontsize=7.5, color=colour)
    style.bare(axes, "Close up", frame=True)


def _formula(scale: float, shift: float, pixel_max: float) -> str:
    """Write the scaling of a pixel as a short formula."""
    divided = scale == 1 / pixel_max
    by = f"pixel / {pixel_max:g}" if divided else f"pixel * {scale:.5f}"
    if shift == 0:
        return by
    return f"{by} {'-' if shift < 0 else '+'} {abs(shift):.4f}"


def preprocessing(
    image: np.ndarray, scale: float, shift: float, pixel_max: float = 255.0
) -> Figure:
    """Draw how an image is prepared for a network: scaled, shifted and flattened.

    Parameters
    ----------
    image
        (H, W) uint8 or float32.
    scale, shift
        The network is fed ``pixel * scale + shift``.
    pixel_max
        The value of full ink.
    """
    x = scale_images(image, scale, shift)
    figure = style.new_figure(4.6)
    grid = figure.add_gridspec(2, 3, height_ratios=(1.7, 1))
    raw, entered, close = (figure.add_subplot(grid[0, column]) for column in range(3))
    drawn = raw.imshow(image, cmap=style.IMAGE_MAP, vmin=0, vmax=pixel_max, interpolation="nearest")
    stored = "a byte a pixel" if image.dtype == np.uint8 else "a float a pixel"
    style.bare(raw, f"Stored: {stored}", frame=True)
    style.colour_bar(figure, drawn, raw)
    low, high = sorted((shift, pixel_max * scale + shift))
    drawn = entered.imshow(x, cmap=style.IMAGE_MAP, vmin=low, vmax=high, interpolation="nearest")
    style.bare(entered, f"Fed: {_formula(scale, shift, pixel_max)}", frame=True)
    style.colour_bar(figure, drawn, entered)
    _draw_numbers(close, x, low, high)
    row = figure.add_subplot(grid[1, :])
    row.fill_between(np.arange(x.size), x.reshape(-1), low, color=style.BLUE, step="mid", lw=0)
    row.set_xlim(0, max(x.size - 1, 1))
    title = f"Row after row: the {x.size:,} inputs of the network"
    style.dress(row, title, "input", "value", grid="y")
    return figure
