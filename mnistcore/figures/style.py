"""The common style of all figures: white paper, dark ink, few lines, and colours that
colour-blind people can tell apart (M. Okabe, K. Ito, "Color universal design", 2008).

Colours and sizes are set on each artist; matplotlib's global settings stay untouched.
"""

import io
import os
import threading
import warnings
from collections.abc import Sequence
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

BLUE, VERMILLION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
ORANGE, SKY, DARK, GREY = "#E69F00", "#56B4E9", "#444444", "#999999"
# For classes and runs; the ninth and the tenth are from Tol's "muted" scheme.
COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, DARK, GREY, "#882255", "#999933")
RIGHT, WRONG = BLUE, VERMILLION

INK, FAINT_INK, EDGE, GRID = "#222222", "#666666", "#c9c9c9", "#ececec"
TITLE, LABEL, SMALL = 11.5, 10.0, 9.0  # points
WIDTH = 9.0  # inches, of all figures; heights differ
IMAGE_MAP = "binary"  # ink dark on white paper
DIVERGING_MAP = "RdBu_r"
SEQUENTIAL_MAP = "Blues"
DPI = 150
_SHOWN_DPI = 96  # in a notebook

_SAVING = threading.Lock()  # savefig reads two global settings; see encode
# A fork waits for the lock; otherwise the child would wait for it forever.
os.register_at_fork(
    before=_SAVING.acquire, after_in_parent=_SAVING.release, after_in_child=_SAVING.release
)


class Picture(Figure):
    """A Figure that a notebook displays, sharply, although it was made without pyplot."""

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        """Return a PNG with two pixels per pixel of an ordinary screen, and its shown size.

        Notebooks are kept in a repository, so it is small: an image of 256 colours.
        """
        from PIL import Image

        width, height = (round(_SHOWN_DPI * side) for side in self.get_size_inches())
        buffer = io.BytesIO()
        with Image.open(io.BytesIO(encode(self, "png", dpi=2 * _SHOWN_DPI))) as image:
            image.convert("RGB").quantize(256).save(buffer, "PNG", optimize=True)
        return buffer.getvalue(), {"width": width, "height": height}


def new_figure(height: float, width: float = WIDTH) -> Picture:
    """Return an empty figure; sizes are in inches."""
    return Picture(figsize=(width, height), layout="constrained", facecolor="white")


def dress(
    axes: Axes,
    title: str = "",
    xlabel: str = "",
    ylabel: str = "",
    grid: Literal["x", "y", "both"] | None = None,
) -> None:
    """Set the titles of axes and the common style. Call this after drawing."""
    axes.set_title(title, loc="left", fontsize=TITLE, fontweight="bold", color=INK)
    axes.set_xlabel(xlabel, fontsize=LABEL, color=INK)
    axes.set_ylabel(ylabel, fontsize=LABEL, color=INK)
    axes.tick_params(which="both", length=0, labelsize=SMALL, labelcolor=FAINT_INK)
    for name, spine in axes.spines.items():
        spine.set_visible(name in ("left", "bottom"))
        spine.set_color(EDGE)
    if grid:
        axes.grid(axis=grid, color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)


def bare(axes: Axes, title: str = "", frame: bool = False) -> None:
    """Style axes that show an image: a title, no ticks, and optionally a frame."""
    dress(axes, title)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(frame)


def whole_numbers(axis: Axis) -> None:
    """Place ticks at round whole numbers."""
    axis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))


def spans_decades(values: np.ndarray) -> bool:
    """Whether values are positive and span a factor above 20; values not finite are ignored."""
    seen = values[np.isfinite(values)]
    return bool(seen.size and seen.min() > 0 and seen.max() > 20 * seen.min())


def legend(axes: Axes, **settings: Any) -> None:
    """Add a legend without a frame, unless nothing drawn has a label."""
    if not axes.get_legend_handles_labels()[0]:
        return
    axes.legend(frameon=False, fontsize=SMALL, labelcolor=INK, **settings)


def legend_below(
    figure: Figure,
    axes: Axes,
    columns: int,
    place: Literal["outside lower left", "outside lower center"] = "outside lower center",
) -> None:
    """Add a legend of what axes show below all of a figure, unless nothing there has a label."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        figure.legend(
            handles, labels, loc=place, ncols=columns, frameon=False,
            fontsize=SMALL, labelcolor=INK,
        )  # fmt: skip


def colour_bar(figure: Figure, artist: Any, axes: Axes) -> None:
    """Add the colour scale of an image beside it."""
    bar = figure.colorbar(artist, ax=axes, shrink=0.8, aspect=25, pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0, labelsize=SMALL, labelcolor=FAINT_INK)


def say(axes: Axes, text: str) -> None:
    """Show a sentence in place of a drawing."""
    bare(axes)
    axes.text(
        0.5, 0.5, text, ha="center", va="center", fontsize=LABEL, color=FAINT_INK,
        transform=axes.transAxes,
    )  # fmt: skip


def plain(text: str, longest: int = 40) -> str:
    """Return text safe to draw: escape dollar signs, which start formulas, and shorten it."""
    text = " ".join(text.encode("utf-8", "replace").decode().split())
    text = "".join(sign if sign.isprintable() else "\ufffd" for sign in text)
    if len(text) > longest:
        text = text[: longest - 1] + "…"
    return text.replace("$", r"\$")


def class_places(class_names: Sequence[str]) -> tuple[range, list[str]]:
    """Return the places of classes on an axis, and their names: those of 62 at most."""
    step = -(-len(class_names) // 62)  # more names would be illegible
    return range(0, len(class_names), step), [plain(name, 12) for name in class_names[::step]]


def as_image(values: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Reshape one sample of any shape to rows and columns of pixels.

    A one-dimensional sample becomes a square if possible, else a row. Dimensions beyond the
    first are merged into the columns.
    """
    if len(shape) == 1:
        side = round(shape[0] ** 0.5)
        return values.reshape((side, side) if side * side == shape[0] else (1, -1))
    return values.reshape(shape[0], -1)


def mosaic(images: np.ndarray, columns: int, gap: int = 2) -> np.ndarray:
    """Arrange images (N, H, W) in rows of ``columns``, as one float image with NaN between."""
    count, height, width = images.shape
    rows = -(-count // columns)
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap), np.nan)
    for place, image in enumerate(images):
        top, left = place // columns * (height + gap), place % columns * (width + gap)
        sheet[top : top + height, left : left + width] = image
    return sheet


def encode(figure: Figure, kind: Literal["png", "svg"], dpi: int = DPI) -> bytes:
    """Return the bytes of a PNG or SVG file of a figure; equal figures give equal files.

    This needs two global settings of matplotlib, so a lock admits one thread at a time. A letter
    that the font lacks is drawn as a box, without a warning.
    """
    buffer = io.BytesIO()
    settings: Any = {"svg.hashsalt": "mnistcore", "svg.fonttype": "path"}
    metadata = {"Date": None} if kind == "svg" else {"Software": None}
    with _SAVING, matplotlib.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure.savefig(buffer, format=kind, dpi=dpi, metadata=metadata)
    return buffer.getvalue()
