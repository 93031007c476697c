"""Figures that compare several runs."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from ..training.records import EpochRecord
from . import style

_FAR_APART = 5  # ratio of numbers of epochs above which the epoch axis is logarithmic
_DASHES = ("-", "--", ":", "-.")


def compare_accuracy(
    accuracies: Mapping[str, float], intervals: Mapping[str, tuple[float, float]]
) -> Figure:
    """Draw the accuracy of each run with its interval, the best one on top.

    Parameters
    ----------
    accuracies
        Values in [0, 1] by name of the run.
    intervals
        (low, high) of the same runs, in [0, 1].
    """
    names = sorted(accuracies, key=lambda name: accuracies[name])
    figure = style.new_figure(1.1 + 0.34 * len(names))
    axes = figure.add_subplot()
    colours = _colours(accuracies)
    for place, name in enumerate(names):
        low, high = (100 * bound for bound in intervals[name])
        share = 100 * accuracies[name]
        axes.plot([low, high], [place, place], color=colours[name], linewidth=2.5, alpha=0.55)
        axes.plot(share, place, "o", color=colours[name], markersize=8)
        axes.annotate(
            f"{share:.2f}", (high, place), (7, 0), textcoords="offset points", va="center",
            fontsize=style.SMALL, color=style.INK,
        )  # fmt: skip
    axes.set_yticks(range(len(names)), [style.plain(name) for name in names])
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.margins(x=0.1)
    style.dress(axes, "Accuracy with its 95 % interval", "%", "", grid="x")
    return figure


def compare_learning(histories: Mapping[str, Sequence[EpochRecord]]) -> Figure:
    """Draw loss and accuracy by epoch, and accuracy by training time, of several runs.

    The values are those on the validation images, or of training, marked with crosses, for a run
    without validation.

    Parameters
    ----------
    histories
        The records of each run by its name.
    """
    figure = style.new_figure(4.0 + 0.22 * -(-len(histories) // 3))
    loss, accuracy, by_time = figure.subplots(1, 3)
    colours = _colours(histories)
    for number, (name, history) in enumerate(histories.items()):
        if not history:
            continue
        validated = all(record.validation_loss is not None for record in history)
        epochs = [record.epoch for record in history]
        seconds = np.cumsum([record.seconds for record in history])
        losses = [r.validation_loss if validated else r.train_loss for r in history]
        shares = _in_percent(
            [r.validation_accuracy if validated else r.train_accuracy for r in history]
        )
        look = {
            "color": colours[name],
            "linestyle": _DASHES[number // len(style.COLOURS) % len(_DASHES)],
            "marker": _marker(len(history), validated),
            "markersize": 3.5,
            "label": style.plain(name),
        }
        loss.plot(epochs, losses, **look)
        accuracy.plot(epochs, shares, **look)
        by_time.plot(seconds, shares, **look)
    style.dress(loss, "Loss", "epoch", "cross-entropy, nats", grid="y")
    style.dress(accuracy, "Accuracy", "epoch", "%", grid="y")
    style.dress(by_time, "Accuracy by time", "seconds of training", "%", grid="y")
    lengths = [len(history) for history in histories.values() if history]
    for axes in (loss, accuracy):
        if lengths and max(lengths) > _FAR_APART * min(lengths):
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter("{x:.0f}")
        else:
            style.whole_numbers(axes.xaxis)
    style.legend_below(figure, loss, min(3, len(histories)))
    return figure


def _in_percent(shares: Sequence[float | None]) -> np.ndarray:
    return 100 * np.array(shares, np.float64)


def _marker(epochs: int, validated: bool) -> str:
    if not validated:
        return "x"
    return "o" if epochs <= 30 else ""


def _colours(names: Mapping[str, object]) -> dict[str, str]:
    """Return a colour for each run; the same order of runs gives the same colours."""
    return {name: style.COLOURS[i % len(style.COLOURS)] for i, name in enumerate(names)}
