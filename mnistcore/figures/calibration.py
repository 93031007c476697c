"""The reliability diagram: is a network right as often as its confidence says?"""

from matplotlib.figure import Figure

from ..models.metrics import Calibration, percent
from . import style


def reliability_diagram(calibration: Calibration) -> Figure:
    """Draw accuracy by confidence, and the number of predictions at each confidence.

    Bars below the diagonal show over-confidence. After C. Guo et al., "On calibration of modern
    neural networks", 2017, figure 1.
    """
    figure = style.new_figure(4.4)
    reliability, numbers = figure.subplots(1, 2, width_ratios=(1, 1))
    low, high = calibration.edges[:-1], calibration.edges[1:]
    width, middle = high - low, (low + high) / 2
    filled = calibration.counts > 0
    share, confidence = calibration.accuracy[filled], calibration.confidence[filled]
    reliability.bar(
        middle[filled], share, 0.94 * width[filled], color=style.SKY, label="share read right"
    )
    reliability.bar(
        middle[filled], confidence - share, 0.94 * width[filled], share, fill=False,
        hatch="///", edgecolor=style.VERMILLION, linewidth=0.8, label="gap to the confidence",
    )  # fmt: skip
    reliability.plot(
        [0, 1],
        [0, 1],
        color=style.FAINT_INK,
        linestyle="--",
        linewidth=1.2,
        label="perfectly calibrated",
    )
    reliability.set_xlim(-0.03, 1.02)  # apart from the corner, where two labels would meet
    reliability.set_ylim(-0.03, 1.02)
    reliability.set_aspect("equal", adjustable="box")
    title = f"Expected calibration error {percent(calibration.expected_error)}"
    style.dress(reliability, title, "confidence", "accuracy", grid="both")
    style.legend_below(figure, reliability, 3, "outside lower left")
    numbers.plot(middle[filled], calibration.counts[filled], "o", color=style.BLUE, markersize=6)
    numbers.set_yscale("log")
    numbers.set_ylim(0.7, max(10, 2 * calibration.counts.max(initial=1)))
    numbers.set_xlim(0, 1)
    style.dress(numbers, "Predictions by confidence", "confidence", "number", grid="both")
    return figure
