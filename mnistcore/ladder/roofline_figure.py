"""The roofline as a figure, on light and on dark paper, and as a table."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..system.machine import cpu_model
from ..system.text import counted
from .figures import SETTINGS, TITLES, digits, save
from .roofline import Point, Roof, Roofline
from .step import load

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from rich.table import Table


class _Theme(NamedTuple):
    paper: str
    ink: str
    grey: str
    pale: str
    languages: dict[str, str]


LIGHT = _Theme(
    "#ffffff", "#222222", "#6f6f6f", "#e4e4e4",
    {"numba": "#0072B2", "cython": "#D55E00", "numpy": "#7a7a7a"},
)  # fmt: skip
DARK = _Theme(
    "#0d1117", "#e6edf3", "#9aa4ae", "#252c35",
    {"numba": "#56B4E9", "cython": "#E69F00", "numpy": "#b0b7be"},
)  # fmt: skip
_BESIDE = {"numba": 0.93, "numpy": 1.0, "cython": 1.07}  # so that no dot hides another


def dark_name(path: Path) -> Path:
    """Return the file of the dark figure beside the light one."""
    return path.with_stem(f"{path.stem}-dark")


def draw_roofline(roofline: Roofline, path: Path) -> None:
    """Draw a panel for one core and one for all, on light paper, and on dark in a second file.

    Raises
    ------
    ValueError
        If matplotlib does not support the file format.
    OSError
        If a file cannot be written.
    """
    _draw(roofline, path, LIGHT)
    _draw(roofline, dark_name(path), DARK)


def _draw(roofline: Roofline, path: Path, theme: _Theme) -> None:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    colours: Any = {
        "text.color": theme.ink,
        "figure.facecolor": theme.paper,
        "axes.facecolor": theme.paper,
        "savefig.facecolor": theme.paper,
        "axes.edgecolor": theme.pale,
    }
    with mpl.rc_context(SETTINGS | colours):
        count = len(roofline.roofs)
        figure = Figure(figsize=(1.6 + 5.2 * count, 5.4))
        panels = figure.subplots(1, count, sharex=True, sharey=True, squeeze=False)[0]
        for axes, roof in zip(panels, roofline.roofs, strict=True):
            points = [point for point in roofline.points if point.threads == roof.threads]
            _panel(axes, roof, roofline, theme)
            _dots(axes, points, theme)
            axes.set_title(counted(roof.threads, "core"), pad=10)
        panels[0].set_ylabel("GFLOP/s", color=theme.grey)
        _legend(panels[-1], theme)
        figure.text(0.99, 0.006, cpu_model(), ha="right", va="bottom", fontsize=8, color=theme.grey)
        figure.tight_layout(rect=(0, 0.02, 1, 1))
        save(figure, path)


def _panel(axes: "Axes", roof: Roof, roofline: Roofline, theme: _Theme) -> None:
    """Draw a line that rises for each memory, up to the peak of the cores."""
    intensities = [point.intensity for point in roofline.points] or [1.0]
    slowest = min((point.gflops for point in roofline.points), default=roof.peak / 100)
    left = min(0.04, min(intensities) / 3)
    right = max(300.0, 3 * max(intensities))
    highest = max(one.peak for one in roofline.roofs)
    axes.set(
        xscale="log", yscale="log", xlim=(left, right), ylim=(slowest / 2, 2 * highest),
        xlabel="operations for each byte",
    )  # fmt: skip
    axes.xaxis.label.set_color(theme.grey)
    x = np.geomspace(left, right, 200)
    above = np.inf
    for place, (name, bandwidth) in enumerate(roof.bandwidths.items()):
        axes.plot(x, np.minimum(roof.peak, bandwidth * x), color=theme.grey, linewidth=1.1)
        at = left * 1.15 * 1.5**place  # each name a little further to the right
        _name_slope(
            axes, f"{name}, {bandwidth:.0f} GB/s", bandwidth, at, theme, above < 1.4 * bandwidth
        )
        above = bandwidth
    axes.text(
        right / 1.1, roof.peak * 1.12, f"peak, {digits(roof.peak)} GFLOP/s", ha="right",
        fontsize=9, color=theme.grey,
    )  # fmt: skip
    axes.xaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.tick_params(which="both", length=0, labelcolor=theme.grey)
    axes.grid(color=theme.pale, linewidth=0.8)
    axes.set_axisbelow(True)


def _name_slope(
    axes: "Axes", name: str, bandwidth: float, at: float, theme: _Theme, below: bool
) -> None:
    """Write the name of a memory along its line: below it where another line is close above."""
    axes.annotate(
        name, (at, bandwidth * at), (0, -3 if below else 3), textcoords="offset points",
        va="top" if below else "baseline", rotation=45, rotation_mode="anchor",
        transform_rotates_text=True, fontsize=8.5, color=theme.grey,
    )  # fmt: skip


def _dots(axes: "Axes", points: list[Point], theme: _Theme) -> None:
    """Draw a small dot for each step, and a large one for the kernel of training."""
    for point in points:
        last = load(point.ladder).lessons[-1].name == point.step
        axes.plot(
            point.intensity * _BESIDE[point.language], point.gflops,
            "D" if point.language == "numpy" else "o",
            color=theme.languages[point.language], alpha=1 if last else 0.65,
            markersize=10 if last else 5, markeredgecolor=theme.paper,
        )  # fmt: skip
    for ladder in dict.fromkeys(point.ladder for point in points):
        column = [point for point in points if point.ladder == ladder]
        axes.annotate(
            ladder, (column[0].intensity, min(point.gflops for point in column)), (0, -16),
            textcoords="offset points", ha="center", color=theme.ink, fontweight="bold",
        )  # fmt: skip


def _legend(axes: "Axes", theme: _Theme) -> None:
    for language, colour in theme.languages.items():
        marker = "D" if language == "numpy" else "o"
        axes.plot([], [], marker, color=colour, label=TITLES[language])
    axes.plot([], [], "o", color=theme.grey, markersize=10, label="the kernel of training")
    axes.legend(frameon=False, loc="best", fontsize=9)


def roofline_table(roofline: Roofline) -> "Table":
    """Return a line for the kernel of training of each ladder and language."""
    from rich.table import Table

    lines = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    lines.add_column("ladder")
    lines.add_column("")
    for name in ("operations a byte", "GFLOP/s", "cores", "of the roof"):
        lines.add_column(name, justify="right")
    lines.add_column("roof")
    roofs = {roof.threads: roof for roof in roofline.roofs}
    for point in roofline.points:
        if load(point.ladder).lessons[-1].name == point.step:
            limit, name = roofs[point.threads].limit(point)
            lines.add_row(
                point.ladder,
                TITLES[point.language],
                digits(point.intensity),
                digits(point.gflops),
                f"{point.threads}",
                f"{100 * point.gflops / limit:.0f} %",
                name,
            )
    return lines
