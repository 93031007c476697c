"""A figure that compares different kinds of classifiers."""

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from .style import BLUE, FAINT_INK, GREY, SMALL, dress, new_figure

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
        Whether each runs on the kernels of this package; those bars are blue.
    """
    order = sorted(range(len(names)), key=lambda i: errors[i])
    figure = new_figure(0.9 + 0.36 * len(names))
    panels = (
        ("Test error", "%", [100 * errors[i] for i in order]),
        ("Training", "seconds", [seconds[i] for i in order]),
    )
    for axes, (title, unit, values) in zip(figure.subplots(1, 2, sharey=True), panels, strict=True):
        colours = [BLUE if ours[i] else GREY for i in order]
        bars = axes.barh([names[i] for i in order], values, color=colours, height=0.7, log=True)
        axes.bar_label(
            bars, [_short(value) for value in values], padding=3, fontsize=SMALL, color=FAINT_INK
        )
        dress(axes, title, f"{unit}, on a logarithmic scale", grid="x")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.minorticks_off()
        axes.margins(x=0.12)
    return figure


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.2g}" if value < 1 else f"{value:.3g}"
