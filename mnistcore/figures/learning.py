"""Learning curves: loss, accuracy and learning rate by epoch."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..training.records import EpochRecord
from . import style

_MARKED = 30  # most epochs that are marked with dots


def learning_curves(history: Sequence[EpochRecord]) -> Figure:
    """Draw loss and accuracy of training and validation, and the learning rate, by epoch.

    Parameters
    ----------
    history
        The records of ``TrainResult.history`` or :attr:`.runs.folder.Run.history`. Without
        validation its lines are left out.
    """
    figure = style.new_figure(4.6)
    grid = figure.add_gridspec(2, 2, height_ratios=(3, 1))
    loss = figure.add_subplot(grid[0, 0])
    accuracy = figure.add_subplot(grid[0, 1])
    rate = figure.add_subplot(grid[1, :])
    if not history:
        for axes in (loss, accuracy, rate):
            style.say(axes, "no epoch was finished")
        return figure
    epochs = [record.epoch for record in history]
    losses = _pair([r.train_loss for r in history], [r.validation_loss for r in history])
    shares = _pair([r.train_accuracy for r in history], [r.validation_accuracy for r in history])
    _lines(loss, epochs, losses)
    validated = bool(np.isfinite(losses[1]).any())
    if style.spans_decades(losses[1] if validated else losses):
        # Not for a training loss near 0 alone: it would flatten the rise of overfitting.
        loss.set_yscale("log")
    style.dress(loss, "Loss", "epoch", "cross-entropy, nats", grid="y")
    _lines(accuracy, epochs, 100 * shares)
    _mark_best(accuracy, epochs, 100 * shares[1], losses[1])
    style.dress(accuracy, "Accuracy", "epoch", "%", grid="y")
    style.legend(accuracy, loc="lower right")
    rates = [record.learning_rate for record in history]
    rate.plot(epochs, rates, color=style.DARK, marker=_marker(epochs), markersize=3.5)
    style.dress(rate, "Learning rate, at the end of each epoch", "epoch", "", grid="y")
    for axes in (loss, accuracy, rate):
        style.whole_numbers(axes.xaxis)
    return figure


def _pair(train: Sequence[float | None], validation: Sequence[float | None]) -> np.ndarray:
    """Return an array (2, epochs) of float64, NaN where a value is missing."""
    return np.array([train, validation], np.float64)


def _lines(axes: Axes, epochs: Sequence[int], values: np.ndarray) -> None:
    """Draw training solid and blue, validation dashed and orange; skip lines without values."""
    looks = (("training", style.BLUE, "-"), ("validation", style.VERMILLION, "--"))
    for (label, colour, dashes), line in zip(looks, values, strict=True):
        if np.isfinite(line).any():
            axes.plot(
                epochs, line, color=colour, linestyle=dashes, linewidth=1.8, label=label,
                marker=_marker(epochs), markersize=3.5,
            )  # fmt: skip


def _marker(epochs: Sequence[int]) -> str:
    return "o" if len(epochs) <= _MARKED else ""


def _mark_best(
    axes: Axes, epochs: Sequence[int], validation: np.ndarray, losses: np.ndarray
) -> None:
    """Circle the best epoch as training chooses it; the lower loss breaks a tie."""
    if not np.isfinite(validation).any():
        return
    ties = np.flatnonzero(validation == np.nanmax(validation))
    best = int(ties[np.argsort(losses[ties], kind="stable")[0]])
    axes.plot(
        epochs[best], validation[best], "o", markersize=9, markerfacecolor="none",
        markeredgecolor=style.VERMILLION, markeredgewidth=1.5,
        label=f"best: {validation[best]:.2f} %, epoch {epochs[best]}",
    )  # fmt: skip
