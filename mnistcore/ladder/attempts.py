"""The attempts of a reader: kept in a file beside the function, and drawn over the rungs."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..system.files import read_bounded, write_json
from ..system.machine import cpu_model
from ..system.text import parsed
from .check import Place
from .figures import GREY, INK, PALE, SETTINGS, TITLES, digits, save
from .measure import Rung
from .step import load

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST = 500  # attempts in a file; older ones are dropped
_GAP = 0.042  # between two labels, in heights of the axes
_DOTS = "#0072B2"


def _file(path: Path) -> Path:
    return path.with_name(f"{path.stem}.ladder.json")


def kept(path: Path) -> list[dict[str, Any]]:
    """Return the attempts of the functions in a file, oldest first.

    Raises
    ------
    ValueError
        If the file of attempts is something else.
    """
    file = _file(path)
    if not file.exists():
        return []
    try:
        attempts = parsed(read_bounded(file).decode())["attempts"]
        for attempt in attempts:
            attempt["ladder"], attempt["function"], attempt["shape"]
            if not 0 < float(attempt["rate"]) < math.inf:
                raise ValueError(f"a rate of {attempt['rate']}")
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise ValueError(
            f"{file}: is not what this command writes; move it away, or mend it"
        ) from error
    return list(attempts)


def keep(path: Path, place: Place) -> list[dict[str, Any]]:
    """Add an attempt to those of a file, and return those that it compares with.

    They are of the same function, ladder, shape and processor.

    Raises
    ------
    OSError
        If the attempts cannot be written.
    """
    now = datetime.now(UTC).astimezone().isoformat(timespec="seconds")
    attempt = {"time": now, "cpu": cpu_model(), **place.to_dict()}
    attempts = [*kept(path), attempt][-MOST:]
    write_json(_file(path), {"attempts": attempts})
    same = ("function", "ladder", "shape", "cpu")
    return [one for one in attempts if all(one.get(key) == attempt[key] for key in same)]


def draw_attempts(attempts: Sequence[dict[str, Any]], place: Place, picture: Path) -> None:
    """Draw attempts as dots from left to right, over the steps of the ladder as lines.

    Raises
    ------
    ValueError
        If matplotlib does not support the file format.
    OSError
        If the file cannot be written.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    rungs = [rung for rung in place.climb.rungs if rung.language != "yours"]
    with mpl.rc_context(SETTINGS):
        figure = Figure(figsize=(8.4, 6.2))
        axes = figure.subplots()
        _draw_dots(axes, [float(attempt["rate"]) for attempt in attempts])
        _draw_rungs(axes, rungs, place)
        sizes = zip(load(place.ladder).sizes, place.shape, strict=True)
        shape = ", ".join(f"{name} = {size:,}" for name, size in sizes)
        axes.set_title(f"{place.function} on the ladder {place.ladder}", pad=14)
        axes.set_xlabel("attempt", color=GREY)
        figure.text(
            0.99, 0.006, f"{shape}; {cpu_model()}", ha="right", va="bottom", fontsize=8, color=GREY
        )
        figure.tight_layout(rect=(0, 0.02, 1, 1))
        save(figure, picture)


def _draw_dots(axes: "Axes", rates: Sequence[float]) -> None:
    from matplotlib.ticker import MaxNLocator

    numbers = range(1, len(rates) + 1)
    axes.plot(numbers, rates, "o-", color=_DOTS, markersize=8, linewidth=1.4, zorder=3)
    best = rates.index(max(rates))
    for place in sorted({best, len(rates) - 1}):
        axes.annotate(
            digits(rates[place]), (place + 1, rates[place]), (0, 9), textcoords="offset points",
            ha="center", color=_DOTS, fontweight="bold",
        )  # fmt: skip
    axes.set_xlim(0.5, max(len(rates), 4) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _draw_rungs(axes: "Axes", rungs: Sequence[Rung], place: Place) -> None:
    """Draw a line for each step, with its name on the right, where there is room for it."""
    ladder = load(place.ladder)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_ylabel(place.unit, color=GREY)
    axes.tick_params(which="both", length=0, labelcolor=GREY)
    rates = sorted(rungs, key=lambda rung: rung.rate)
    lowest, highest = axes.get_ylim()
    axes.set_ylim(min(lowest, rates[0].rate / 1.5), 1.5 * max(highest, rates[-1].rate))
    to_axes = axes.transScale + axes.transLimits
    heights = [float(to_axes.transform((1, rung.rate))[1]) for rung in rates]
    for rung, at, label_at in zip(rates, heights, _spread(heights), strict=True):
        axes.axhline(rung.rate, color=PALE, linewidth=1, zorder=1)
        axes.plot(
            (1, 1.03), (at, label_at), transform=axes.transAxes, clip_on=False, color=PALE,
            linewidth=1,
        )  # fmt: skip
        number = ladder.number(rung.step)
        name = f"{TITLES[rung.language]} {number or ''} {rung.step}".replace("  ", " ")
        axes.text(
            1.04, label_at, f"{name}, {digits(rung.rate)}", transform=axes.transAxes, va="center",
            fontsize=9, color=INK,
        )  # fmt: skip


def _spread(heights: Sequence[float]) -> list[float]:
    """Move ascending heights apart, so that a gap is between any two, and none is above 1."""
    spread = list(heights)
    for i in range(1, len(spread)):
        spread[i] = max(spread[i], spread[i - 1] + _GAP)
    ceiling = 1 + _GAP
    for i in reversed(range(len(spread))):
        ceiling = spread[i] = min(spread[i], ceiling - _GAP)
    return spread
