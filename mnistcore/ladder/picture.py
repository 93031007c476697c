"""Draw what was measured: a bar for each step, and the peak as the line that none can cross."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..atomic import replacing
from ..environment import cpu_model
from .measure import Ladder, Rung

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw"]

# Of Okabe and Ito, which colour-blind people can tell apart; light for one core, dark for all.
_COLOURS = {"numba": ("#7fb8d9", "#0072B2"), "cython": ("#f0b08a", "#D55E00")}
_BLAS = "#8c8c8c"
_INK, _PALE = "#222222", "#c9c9c9"
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
    "svg.hashsalt": "mnistcore",  # the same figures make the same file
}


def draw(ladder: Ladder, path: Path) -> None:
    """Write the picture of a ladder; its kind is that of the file's name: svg, png or pdf.

    Raises
    ------
    ValueError
        If matplotlib cannot draw such a file.
    OSError
        If it cannot be written.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    backends = [name for name in _COLOURS if any(r.backend == name for r in ladder.rungs)]
    bars = [_bars(ladder.rungs, name) for name in backends]
    with mpl.rc_context(_SETTINGS):
        figure = Figure(figsize=(8.4, 0.6 + 0.38 * sum(len(b) + 2 for b in bars)))
        panels = figure.subplots(
            len(bars), 1, sharex=True, squeeze=False, height_ratios=[len(b) for b in bars]
        )[:, 0]
        for axes, name, rungs in zip(panels, backends, bars, strict=True):
            _panel(axes, rungs, ladder)
            axes.set_title(name.capitalize())
        panels[-1].set_xlabel("GFLOP/s, each grid line ten times the one before", color=_INK)
        m, k, n = ladder.shape
        figure.text(
            0.99, 0.004, f"({m}, {k}) by ({k}, {n}), float32; {cpu_model()}",
            ha="right", va="bottom", fontsize=8, color=_BLAS,
        )  # fmt: skip
        figure.tight_layout(rect=(0, 0.02, 1, 1))
        kind = path.suffix[1:].lower()
        metadata: Any = {"Date": None} if kind == "svg" else {}
        with replacing(path) as file:
            figure.savefig(file, format=kind, dpi=150, metadata=metadata)


def _bars(rungs: Sequence[Rung], backend: str) -> list[Rung]:
    """The steps of a backend, and BLAS below them."""
    return [rung for rung in rungs if rung.backend in (backend, "numpy")]


def _panel(axes: "Axes", rungs: Sequence[Rung], ladder: Ladder) -> None:
    lowest = min(rung.gflops for rung in ladder.rungs)
    highest = max(ladder.peaks.values())
    axes.set_xscale("log")
    axes.set_xlim(min(0.1, lowest / 2), 9 * highest)
    for place, rung in enumerate(rungs):
        light, dark = _COLOURS.get(rung.backend, (_BLAS, _BLAS))
        axes.barh(place, rung.gflops, height=0.72, color=dark if rung.threads > 1 else light)
        axes.text(1.08 * max(rung.gflops, 0), place, _label(rung), va="center", fontsize=9.5)
    for threads, peak in ladder.peaks.items():
        axes.axvline(
            peak, color=_INK, linewidth=1.2, linestyle="-" if threads == 1 else (0, (4, 2))
        )
    axes.set_yticks(range(len(rungs)), [_name(rung) for rung in rungs])
    axes.set_ylim(len(rungs) - 0.4, -0.6)
    axes.tick_params(length=0)
    axes.tick_params(axis="x", which="both", length=0, labelcolor=_BLAS)
    axes.grid(axis="x", color="#ebebeb", linewidth=0.8)
    axes.set_axisbelow(True)


def _name(rung: Rung) -> str:
    return "NumPy's BLAS" if rung.backend == "numpy" else rung.step


def _label(rung: Rung) -> str:
    cores = "" if rung.threads == 1 else f" on {rung.threads} cores"
    return f"{rung.gflops:.{0 if rung.gflops >= 10 else 2}f}{cores}"
