"""Figures of a search: its history, parameter importances, and trials as parallel coordinates."""

import math
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..figures import style
from ..system.files import replacing
from .results import SearchResult, TrialRecord, rank
from .space import worded

_TICKS = 5  # values of a parameter that are all labelled
_BINS = 7  # at most, between round numbers
_APART = 0.055  # of an axis, from one label to the next
_EDGE = 0.04  # of the height, between the outermost markers and the edges
_LONGEST = 14  # characters of a label, which must end before the next axis
_STEPS = ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7))  # ticks of a decade, coarse to fine


def write_figures(result: SearchResult, logarithmic: Collection[str]) -> None:
    """Write ``history.png``, ``importances.png`` and ``parallel.png`` to the output folder.

    ``logarithmic`` names the parameters that are drawn on a logarithmic axis.
    """
    records = result.standing.finished
    figures = {
        "history": history(records),
        "importances": importances(result.importances),
        "parallel": parallel_coordinates(records, logarithmic),
    }
    for name, figure in figures.items():
        with replacing(result.folder / f"{name}.png") as file:
            file.write(style.encode(figure, "png"))


def history(records: Sequence[TrialRecord]) -> Figure:
    """Draw the validation accuracy of every trial by its number, and the best so far.

    Trials far below the others are triangles at the lower edge.
    """
    figure = style.new_figure(4.2)
    axes = figure.add_subplot()
    if all(record.accuracy is None for record in records):
        style.say(axes, "No trial has reported yet.")
        return figure
    pruned = [r for r in records if r.state == "pruned" and r.accuracy is not None]
    complete = sorted((r for r in records if r.state == "complete"), key=lambda r: r.number)
    if complete:
        best = np.maximum.accumulate([_accuracy(r) for r in complete])
        numbers = [r.number for r in complete]
        last = max(r.number for r in records)
        axes.step([*numbers, last], [*best, best[-1]], where="post", color=style.VERMILLION,
                  label="best so far")  # fmt: skip
    low, high = _limits(complete or pruned)
    filled, hollow = {"color": style.BLUE}, {"color": style.GREY, "fillstyle": "none"}
    _dots(axes, complete, low, "trained to the end", filled)
    _dots(axes, pruned, low, "ended early, its last report", hollow)
    room = _EDGE * (high - low)  # for the markers at the edge
    axes.set_ylim(low - room, high + room)
    style.whole_numbers(axes.xaxis)
    style.dress(axes, "History of the search", "trial", "validation accuracy (%)", grid="y")
    style.legend_below(figure, axes, 3)
    return figure


def _dots(
    axes: Axes, records: Sequence[TrialRecord], low: float, label: str, look: Mapping[str, Any]
) -> None:
    """Draw a dot per trial, or a triangle at ``low`` for one that is lower still."""
    for marker, below in (("o", False), ("v", True)):
        shown = [r for r in records if (_accuracy(r) < low) == below]
        if shown:
            heights = [max(_accuracy(r), low) for r in shown]
            name = f"{label}, below {low:.4g} %" if below else label
            axes.plot([r.number for r in shown], heights, marker, markersize=6, label=name,
                      linestyle="none", **look)  # fmt: skip


def importances(shares: Mapping[str, float]) -> Figure:
    """Draw a bar for each parameter's share of the importance, the most important on top."""
    figure = style.new_figure(1.4 + 0.36 * max(len(shares), 3))
    axes = figure.add_subplot()
    if not shares:
        style.say(axes, "Too few complete trials, or all alike: nothing to compare.")
        return figure
    upwards = list(reversed(list(shares)))
    names = [name.replace("_", " ") for name in upwards]
    values = [100 * shares[name] for name in upwards]
    bars = axes.barh(names, values, color=style.BLUE, height=0.62)
    axes.bar_label(bars, fmt="%.0f %%", padding=4, fontsize=style.SMALL, color=style.INK)
    axes.set_xlim(0, max(values) * 1.12)
    style.dress(axes, "What mattered", "share in what made trials good, PED-ANOVA (%)", grid="x")
    return figure


def parallel_coordinates(
    records: Sequence[TrialRecord], logarithmic: Collection[str] = ()
) -> Figure:
    """Draw each trial as a line through its values: darker is better, pruned trials are grey.

    ``logarithmic`` names the parameters with a logarithmic axis.
    """
    names = list(dict.fromkeys(name for record in records for name in record.point))
    figure = style.new_figure(5.2, max(style.WIDTH, 1.35 * (len(names) + 1)))
    axes = figure.add_subplot()
    scales = [
        _Scale([r.point[n] for r in records if n in r.point], n in logarithmic) for n in names
    ]
    complete = sorted((r for r in records if r.state == "complete"), key=rank, reverse=True)
    low, high = _limits(complete or [r for r in records if r.accuracy is not None])
    for record in records:
        if record.state == "pruned":
            _line(axes, record, names, scales, None, color=style.EDGE, linewidth=0.9)
    colours = colormaps[style.SEQUENTIAL_MAP]
    for place, record in enumerate(complete):
        last = (max(_accuracy(record), low) - low) / (high - low)
        share = place / max(len(complete) - 1, 1)
        best = record is complete[-1]
        _line(axes, record, names, scales, last,
              color=style.VERMILLION if best else colours(0.3 + 0.65 * share),
              linewidth=2.4 if best else 1.4)  # fmt: skip
    for place, scale in enumerate(scales):
        _axis(axes, place, scale.ticks())
    ticks = MaxNLocator(_BINS, steps=[1, 2, 5, 10]).tick_values(low, high)
    inside = [t for t in ticks if low <= t <= high]
    _axis(axes, len(names), [((t - low) / (high - low), f"{t:.5g}") for t in inside])
    axes.set_xticks(range(len(names) + 1))
    axes.set_xticklabels([*(n.replace("_", "\n") for n in names), "validation\naccuracy (%)"])
    axes.set_xlim(-0.35, len(names) + 0.65)
    axes.set_yticks([])
    grey = ", ended early in grey" if len(complete) < len(records) else ""
    style.dress(axes, f"All trials: the best in orange, the others the darker the better{grey}")
    axes.tick_params(axis="x", labelcolor=style.INK, pad=8)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return figure


class _Scale:
    """Maps the values of a parameter to [0, 1]: numbers by size, others evenly in order."""

    def __init__(self, values: Sequence[Any], log: bool) -> None:
        switch = any(isinstance(value, bool) for value in values)
        self._numbers = not switch and all(isinstance(value, int | float) for value in values)
        self._whole = all(isinstance(value, int) for value in values)
        self._names = sorted(set(values), key=_natural)
        self._low, self._high = self._names[0], self._names[-1]
        self._log = log and self._numbers

    def __call__(self, value: Any) -> float:
        if not self._numbers:
            return (self._names.index(value) + 0.5) / len(self._names)
        if self._high == self._low:
            return 0.5
        low, high, value = (self._on_axis(v) for v in (self._low, self._high, value))
        return (value - low) / (high - low)

    def _on_axis(self, value: float) -> float:
        return math.log(value) if self._log else value

    def ticks(self) -> list[tuple[float, str]]:
        """Return positions and labels: of all values if few and round, else of round numbers.

        Words that would overlap are thinned out.
        """
        values = self._names
        if self._numbers and (len(values) > _TICKS or not all(map(_is_round, values))):
            values = self._round_numbers()
        ticks: list[tuple[float, str]] = []
        for value in values:
            place = self(value)
            if not ticks or place - ticks[-1][0] >= _APART:
                ticks.append((place, _spelled(value)))
        return ticks

    def _round_numbers(self) -> list[float]:
        """Return a few round numbers on the axis; its ends if there are hardly any."""
        low, high = float(self._low), float(self._high)
        if low == high:
            return [low]
        found: list[float] = []
        if self._log:
            decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
            for steps in _STEPS:
                found = [s * 10.0**d for d in decades for s in steps if low <= s * 10.0**d <= high]
                if len(found) >= 3:
                    break
        if len(found) < 2:
            locator = MaxNLocator(_BINS, steps=[1, 2, 5, 10], integer=self._whole)
            found = [float(t) for t in locator.tick_values(low, high) if low <= t <= high]
        return found if len(found) >= 2 else [low, high]


def _natural(value: Any) -> tuple[Any, ...]:
    """Sort key that puts 64-32 before 128-64."""
    if not isinstance(value, str):
        return (0, value)
    parts = value.split("-")
    return (1, *map(int, parts)) if all(p.isdigit() for p in parts) else (2, value)


def _is_round(value: float) -> bool:
    """Whether three digits are enough to write a number, but for the error of binary fractions."""
    return math.isclose(float(f"{value:.3g}"), value, rel_tol=1e-9)


def _spelled(value: Any) -> str:
    """Write a value as a label: 1e-5 and not 1e-05, 0.3 and not 0.30000000000000004."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        digits = 6 if float(value).is_integer() else 3
        return re.sub(r"e([+-])0*(\d)", r"e\1\2", f"{value:.{digits}g}").replace("e+", "e")
    return style.plain(worded(value), _LONGEST)


def _accuracy(record: TrialRecord) -> float:
    return 100 * (record.accuracy or 0.0)


def _limits(records: Sequence[TrialRecord]) -> tuple[float, float]:
    """Return the accuracy limits; outliers at the low end are cut off to keep the rest readable.

    The lower limit is Tukey's fence, 1.5 interquartile ranges below the lower quartile.
    """
    if not records:
        return 0.0, 100.0
    values = np.array([_accuracy(record) for record in records])
    quarter, three_quarters = np.percentile(values, [25, 75])
    fence = quarter - 1.5 * (three_quarters - quarter)
    low, high = max(values.min(), fence), values.max()
    margin = max(0.08 * (high - low), 0.05)
    return max(0.0, low - margin), min(100.0, high + margin)


def _line(
    axes: Axes,
    record: TrialRecord,
    names: Sequence[str],
    scales: Sequence[_Scale],
    last: float | None,
    **look: Any,
) -> None:
    """Draw a trial's line, skipping the parameters that it does not have."""
    places = [place for place, name in enumerate(names) if name in record.point]
    heights = [scales[place](record.point[names[place]]) for place in places]
    if last is not None:
        places, heights = [*places, len(names)], [*heights, last]
    axes.plot(places, heights, solid_joinstyle="round", **look)


def _axis(axes: Axes, place: int, ticks: Sequence[tuple[float, str]]) -> None:
    """Draw a vertical axis with its labels."""
    axes.plot([place, place], [0, 1], color=style.FAINT_INK, linewidth=0.9, zorder=3)
    for height, text in ticks:
        axes.text(
            place + 0.05, height, text, fontsize=style.SMALL, color=style.INK, va="center",
            zorder=4, bbox={"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 0.8},
        )  # fmt: skip
