"""A figure that compares different kinds of classifiers."""

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from . import style

__all__ = ["compare_baselines"]


def compare_baselines(
    names: Sequence[str],
    errors: Sequence[float],
    seconds: Sequence[float],
    ours: Sequence[bool],
) -> Figure:
    """Draw test errors and training times of classifiers, on logarithmic scales, worst first.

    Parameters
    ----------
    names
        Names of the classifiers.
    errors
        Shares of misclassified test images, in [0, 1].
    seconds
        Training times.
    ours
        Whether each runs on the kernels of this package; those dots are blue.
    """
    order = sorted(range(len(names)), key=lambda i: errors[i])
    figure = style.new_figure(0.9 + 0.36 * len(names))
    panels = (
        ("Test error", "%", [100 * errors[i] for i in order]),
        ("Training", "seconds", [seconds[i] for i in order]),
    )
    for axes, (title, unit, values) in zip(figure.subplots(1, 2, sharey=True), panels, strict=True):
        for row, (i, value) in enumerate(zip(order, values, strict=True)):
            axes.plot(value, row, "o", color=style.BLUE if ours[i] else style.GREY, markersize=8)
            axes.annotate(
                _short(value), (value, row), (8, 0), textcoords="offset points", va="center",
                fontsize=style.SMALL, color=style.FAINT_INK,
            )  # fmt: skip
        axes.set_xscale("log")
        axes.set_yticks(range(len(order)), [style.plain(names[i]) for i in order])
        axes.set_ylim(-0.6, len(order) - 0.4)
        style.dress(axes, title, f"{unit}, on a logarithmic scale", grid="both")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.minorticks_off()
        axes.margins(x=0.16)
    return figure


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.2g}" if value < 1 else f"{value:.3g}"
