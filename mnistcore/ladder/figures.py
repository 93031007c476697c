"""Measurements of a ladder as a table, and as a chart of dots with the peak as a line."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..models.metrics import percent
from ..system.files import replacing
from ..system.machine import cpu_model
from .measure import Climb, Rung
from .step import Ladder, load

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from rich.table import Table

BAR = 8  # characters
TITLES = {
    "python": "Python",
    "numba": "Numba",
    "cython": "Cython",
    "numpy": "NumPy",
    "yours": "Yours",
}

# Colours of Okabe and Ito, safe for colour-blind readers; light for one core, dark for all.
_COLOURS = {"numba": ("#7fb8d9", "#0072B2"), "cython": ("#f0b08a", "#D55E00")}
_BLAS = "#8c8c8c"
INK, GREY, PALE = "#222222", "#6f6f6f", "#c9c9c9"
_COLUMNS = (1.22, 1.36)  # right edges of the columns of figures, in panel widths
SETTINGS: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 10.5,
    "text.color": INK,
    "axes.edgecolor": PALE,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.titlesize": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "svg.fonttype": "path",
    "svg.hashsalt": "mnistcore",  # equal figures give equal files
}


def table(climb: Climb, width: int = 80) -> "Table":
    """Return a table with a line per step, by language, and a bar on a logarithmic scale.

    A terminal of less than 80 columns gets neither bars nor the number of cores.
    """
    from rich.table import Table

    ladder = load(climb.ladder)
    lines = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    lines.add_column("step", no_wrap=True)
    wide = width >= 80
    names = ("ms", ladder.unit, "of peak", "gain", "in all", *(("cores",) if wide else ()))
    for name in names:
        lines.add_column(name, justify="right")
    if wide:
        lines.add_column("", no_wrap=True, width=BAR)
    language = ""
    for rung in climb.rungs:
        if rung.language != language:
            if language:
                lines.add_row()
            lines.add_row(f"[bold]{TITLES[rung.language]}[/]")
            language = rung.language
        lines.add_row(
            f"  {_numbered(rung, ladder)}",
            digits(1e3 * rung.seconds),
            digits(rung.rate),
            _of_peak(rung),
            f"{digits(rung.gain)}x" if rung.gain else "",
            f"{digits(rung.over_first)}x" if rung.over_first != 1 else "",
            *((f"{rung.threads}", f"[cyan]{_bar(rung, climb)}[/]") if wide else ()),
        )
    return lines


def where_it_pays(climb: Climb) -> list[str]:
    """Return a line for each step that was measured at a shape of its own."""
    return [
        f"{TITLES[rung.language]}, {rung.step}: {digits(rung.gain or 0)}x here,"
        f" {digits(rung.own_gain)}x at {' '.join(map(str, rung.own_shape))}"
        for rung in climb.rungs
        if rung.own_shape and rung.own_gain
    ]


def _bar(rung: Rung, climb: Climb) -> str:
    """Return a bar that is full at the highest peak and empty at the slowest step."""
    lowest = min(one.rate for one in climb.rungs)
    span = math.log(max(climb.peaks.values()) / lowest)
    eighths = round(8 * BAR * min(1, max(0, math.log(rung.rate / lowest) / span)))
    return "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()


def digits(number: float) -> str:
    """Format a number with three significant digits, or as an integer if larger."""
    before_point = len(f"{number:.0f}") if number >= 0.9995 else 0
    return f"{number:,.{max(0, 3 - before_point)}f}"


def _of_peak(rung: Rung) -> str:
    return percent(rung.of_peak, 1 if rung.of_peak < 0.0995 else 0)


def draw(climb: Climb, path: Path) -> None:
    """Draw a climb as a chart of dots and write it to an svg, png or pdf file, by its suffix.

    Raises
    ------
    ValueError
        If matplotlib does not support the file format.
    OSError
        If the file cannot be written.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    ladder = load(climb.ladder)
    backends = [name for name in _COLOURS if any(r.language == name for r in climb.rungs)]
    groups = [_beside_numpy(climb.rungs, name) for name in backends]
    with mpl.rc_context(SETTINGS):
        figure = Figure(figsize=(9.2, 0.6 + 0.38 * sum(len(g) + 2 for g in groups)))
        panels = figure.subplots(
            len(groups), 1, sharex=True, squeeze=False, height_ratios=[len(g) for g in groups]
        )[:, 0]
        for axes, name, rungs in zip(panels, backends, groups, strict=True):
            _panel(axes, rungs, climb)
            axes.set_title(TITLES[name], pad=10)
        panels[-1].set_xlabel(f"{ladder.unit} (each line ten times the one before)", color=GREY)
        sizes = zip(ladder.sizes, climb.shape, strict=True)
        shape = ", ".join(f"{name} = {size:,}" for name, size in sizes)
        figure.text(
            0.99, 0.004, f"{ladder.title}; {shape}; {cpu_model()}",
            ha="right", va="bottom", fontsize=8, color=GREY,
        )  # fmt: skip
        figure.tight_layout(rect=(0, 0.02, 1, 1))
        save(figure, path)


def save(figure: "Figure", path: Path) -> None:
    """Write a figure to a file of the kind that its suffix names; equal figures, equal files."""
    kind = path.suffix[1:].lower()
    metadata: Any = {"Date": None} if kind == "svg" else {}
    with replacing(path) as file:
        figure.savefig(file, format=kind, dpi=150, metadata=metadata)


def _beside_numpy(rungs: Sequence[Rung], backend: str) -> list[Rung]:
    """Return the steps of a backend, after Python's and before NumPy's and the reader's."""
    return [rung for rung in rungs if rung.language in ("python", backend, "numpy", "yours")]


def _panel(axes: "Axes", rungs: Sequence[Rung], climb: Climb) -> None:
    """Draw a dot per step, its figures in two columns on the right, and the peaks as lines."""
    ladder = load(climb.ladder)
    lowest = min(rung.rate for rung in climb.rungs)
    axes.set_xscale("log")
    axes.set_xlim(lowest / 2, 1.3 * max(climb.peaks.values()))
    axes.xaxis.set_major_formatter("{x:g}")
    beside = axes.get_yaxis_transform()  # x in panel widths, y in steps
    for place, rung in enumerate(rungs):
        light, dark = _COLOURS.get(rung.language, (_BLAS, _BLAS))
        colour = dark if rung.threads > 1 else light
        axes.plot(rung.rate, place, "o", color=colour, markersize=9, clip_on=False)
        figures = digits(rung.rate), _of_peak(rung)
        for x, figure in zip(_COLUMNS, figures, strict=True):
            axes.text(x, place, figure, transform=beside, ha="right", va="center")
    for x, heading in zip(_COLUMNS, (ladder.unit, "of peak"), strict=True):
        axes.text(x, -0.85, heading, transform=beside, ha="right", fontsize=9, color=GREY)
    for threads, peak in climb.peaks.items():
        axes.axvline(peak, color=INK, linewidth=1.2, linestyle="-" if threads == 1 else "--")
        name, side = ("peak: 1 core", "right") if threads == 1 else (f"{threads} cores", "left")
        axes.text(peak, -0.85, name, ha=side, fontsize=9, color=GREY)
    axes.set_yticks(range(len(rungs)), [_name(rung, ladder) for rung in rungs])
    axes.set_ylim(len(rungs) - 0.4, -0.6)
    axes.tick_params(which="both", length=0)
    axes.tick_params(axis="x", labelcolor=GREY)
    axes.grid(color="#ebebeb", linewidth=0.8)
    axes.set_axisbelow(True)


def _name(rung: Rung, ladder: Ladder) -> str:
    name = _numbered(rung, ladder)
    if rung.language == "numpy":
        name = f"NumPy's {rung.step}"
    return f"{name}, {rung.threads} cores" if rung.threads > 1 else name


def _numbered(rung: Rung, ladder: Ladder) -> str:
    number = ladder.number(rung.step)
    return f"{number} {rung.step}" if number else rung.step
