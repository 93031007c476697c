"""Measurements of the ladder as a table, and as a chart of dots with the peak as a line."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..models.metrics import percent
from ..system.files import replacing
from ..system.machine import cpu_model
from .measure import Ladder, Rung
from .step import NUMBERS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from rich.table import Table

__all__ = ["draw", "table"]

_TITLES = {"numba": "Numba", "cython": "Cython", "numpy": "NumPy"}

# Colours of Okabe and Ito, safe for colour-blind readers; light for one core, dark for all.
_COLOURS = {"numba": ("#7fb8d9", "#0072B2"), "cython": ("#f0b08a", "#D55E00")}
_BLAS = "#8c8c8c"
_INK, _GREY, _PALE = "#222222", "#6f6f6f", "#c9c9c9"
_COLUMNS = (1.22, 1.36)  # right edges of the columns of figures, in panel widths
_SETTINGS: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 10.5,
    "text.color": _INK,
    "axes.edgecolor": _PALE,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.titlesize": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "svg.fonttype": "path",
    "svg.hashsalt": "mnistcore",  # equal figures give equal files
}


def table(rungs: Sequence[Rung]) -> "Table":
    """Return a table with a line per step, grouped by backend."""
    from rich.table import Table

    lines = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    lines.add_column("step")
    for name in ("ms", "GFLOP/s", "of peak", "cores", "gain"):
        lines.add_column(name, justify="right")
    backend = ""
    for rung in rungs:
        if rung.backend != backend:
            if backend:
                lines.add_row()
            lines.add_row(f"[bold]{_TITLES[rung.backend]}[/]")
            backend = rung.backend
        lines.add_row(
            f"  {_numbered(rung)}",
            _digits(1e3 * rung.seconds),
            _digits(rung.gflops),
            _of_peak(rung),
            f"{rung.threads}",
            f"{_digits(rung.gain)}x" if rung.gain else "",
        )
    return lines


def _digits(number: float) -> str:
    """Format a number with three significant digits, or as an integer if larger."""
    before_point = len(f"{number:.0f}") if number >= 0.9995 else 0
    return f"{number:.{max(0, 3 - before_point)}f}"


def _of_peak(rung: Rung) -> str:
    return percent(rung.of_peak, 1 if rung.of_peak < 0.0995 else 0)


def draw(ladder: Ladder, path: Path) -> None:
    """Draw a ladder as a chart of dots and write it to an svg, png or pdf file, by its suffix.

    Raises
    ------
    ValueError
        If matplotlib does not support the file format.
    OSError
        If the file cannot be written.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    backends = [name for name in _COLOURS if any(r.backend == name for r in ladder.rungs)]
    groups = [_with_blas(ladder.rungs, name) for name in backends]
    with mpl.rc_context(_SETTINGS):
        figure = Figure(figsize=(9.2, 0.6 + 0.38 * sum(len(g) + 2 for g in groups)))
        panels = figure.subplots(
            len(groups), 1, sharex=True, squeeze=False, height_ratios=[len(g) for g in groups]
        )[:, 0]
        for axes, name, rungs in zip(panels, backends, groups, strict=True):
            _panel(axes, rungs, ladder)
            axes.set_title(_TITLES[name], pad=10)
        panels[-1].set_xlabel("GFLOP/s (each line ten times the one before)", color=_GREY)
        m, k, n = ladder.shape
        figure.text(
            0.99, 0.004, f"({m}, {k}) by ({k}, {n}), float32; {cpu_model()}",
            ha="right", va="bottom", fontsize=8, color=_GREY,
        )  # fmt: skip
        figure.tight_layout(rect=(0, 0.02, 1, 1))
        kind = path.suffix[1:].lower()
        metadata: Any = {"Date": None} if kind == "svg" else {}
        with replacing(path) as file:
            figure.savefig(file, format=kind, dpi=150, metadata=metadata)


def _with_blas(rungs: Sequence[Rung], backend: str) -> list[Rung]:
    """Return the steps of a backend, followed by BLAS."""
    return [rung for rung in rungs if rung.backend in (backend, "numpy")]


def _panel(axes: "Axes", rungs: Sequence[Rung], ladder: Ladder) -> None:
    """Draw a dot per step, its figures in two columns on the right, and the peaks as lines."""
    lowest = min(rung.gflops for rung in ladder.rungs)
    axes.set_xscale("log")
    axes.set_xlim(min(0.1, lowest / 2), 1.3 * max(ladder.peaks.values()))
    axes.xaxis.set_major_formatter("{x:g}")
    beside = axes.get_yaxis_transform()  # x in panel widths, y in steps
    for place, rung in enumerate(rungs):
        light, dark = _COLOURS.get(rung.backend, (_BLAS, _BLAS))
        colour = dark if rung.threads > 1 else light
        axes.plot(rung.gflops, place, "o", color=colour, markersize=9, clip_on=False)
        figures = _digits(rung.gflops), _of_peak(rung)
        for x, figure in zip(_COLUMNS, figures, strict=True):
            axes.text(x, place, figure, transform=beside, ha="right", va="center")
    for x, heading in zip(_COLUMNS, ("GFLOP/s", "of peak"), strict=True):
        axes.text(x, -0.85, heading, transform=beside, ha="right", fontsize=9, color=_GREY)
    for threads, peak in ladder.peaks.items():
        axes.axvline(peak, color=_INK, linewidth=1.2, linestyle="-" if threads == 1 else "--")
        name, side = ("peak: 1 core", "right") if threads == 1 else (f"{threads} cores", "left")
        axes.text(peak, -0.85, name, ha=side, fontsize=9, color=_GREY)
    axes.set_yticks(range(len(rungs)), [_name(rung) for rung in rungs])
    axes.set_ylim(len(rungs) - 0.4, -0.6)
    axes.tick_params(which="both", length=0)
    axes.tick_params(axis="x", labelcolor=_GREY)
    axes.grid(color="#ebebeb", linewidth=0.8)
    axes.set_axisbelow(True)


def _name(rung: Rung) -> str:
    if rung.backend == "numpy":
        return f"NumPy's BLAS, {rung.threads} core{'s' if rung.threads > 1 else ''}"
    return f"{_numbered(rung)}, {rung.threads} cores" if rung.threads > 1 else _numbered(rung)


def _numbered(rung: Rung) -> str:
    return f"{NUMBERS[rung.step]} {rung.step}" if rung.step in NUMBERS else rung.step
