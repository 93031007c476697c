"""Output of ``mnistcore evaluate``: the scores of a model, or its prediction for one image."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..data import Dataset
from ..models.metrics import percent
from ..runs.folder import Run, as_runs
from .half_blocks import half_blocks
from .tables import (
    class_table,
    confusion_fits,
    confusion_table,
    facts_table,
    left_out,
)

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table
    from rich.text import Text

    from ..runs.scores import Sample, Scores

_WIDE = 60  # columns from which the table of the classes has precision and F1
_BAR, _SHORT_BAR = 24, 8  # characters for probability 1, and the least of them
_WIDEST_IMAGE = 64  # columns of an image beside its bars; wider ones are subsampled
_BESIDE = 20  # columns between the image and the bars, and for the numbers and "true"


def show_scores(
    console: "Console",
    run: Run | Sequence[Run],
    dataset: Dataset,
    scores: "Scores",
    mistakes: int,
) -> None:
    """Print an evaluation: scores, per-class table, confusion matrix, most confident mistakes.

    ``mistakes`` is the number to list. A matrix too wide for the console is said to be left out.
    """
    from rich.text import Text

    parts: list[RenderableType] = [
        facts_table(_facts(as_runs(run), dataset, scores)),
        class_table(scores.confusion, scores.class_names, _shares(scores, console.width)),
    ]
    size = scores.confusion, scores.class_names, console.width
    if confusion_fits(*size):
        parts.append(confusion_table(*size, scores.split, console.color_system))
    else:
        parts.append(Text(left_out(*size)))
    worst = scores.confident_mistakes(mistakes)
    if len(worst):
        parts.append(_mistakes_table(scores, worst))
    for number, part in enumerate(parts):
        if number:
            console.print()
        console.print(part)


def show_sample(console: "Console", sample: "Sample", image: np.ndarray) -> None:
    """Print one image (H, W) uint8, its label, and the probability of each class as a bar."""
    from rich.table import Table

    room = console.width - _BESIDE - max(map(len, sample.class_names))
    widest = max(min(_WIDEST_IMAGE, room - _SHORT_BAR), 8)
    step = -(-image.shape[1] // widest)
    bar = min(_BAR, max(_SHORT_BAR, room - -(-image.shape[1] // step)))
    letters = console.options.ascii_only
    picture = half_blocks(image[::step, ::step], console)
    table = Table.grid(padding=(0, 3, 0, 0))
    table.add_row(picture, _bars(sample, letters, bar))
    console.print(_verdict(sample))
    for name, words in _averaged_over(sample.versions).items():
        console.print(f"{name}: {words}")
    console.print()
    console.print(table)


def _facts(runs: Sequence[Run], dataset: Dataset, scores: "Scores") -> dict[str, str]:
    low_high = [100 * bound for bound in scores.interval]
    wrong = int((~scores.hits).sum())
    mean = float(scores.confidences.mean())
    return {
        **_networks(runs, scores),
        "data": f"{dataset.name}: {len(scores.labels):,} {scores.split} images",
        "trained on": "; ".join(dict.fromkeys(_trained_on(run, dataset) for run in runs)),
        **_averaged_over(scores.versions),
        "accuracy": f"{percent(scores.accuracy)}, 95 % interval"
        f" {low_high[0]:.2f} to {low_high[1]:.2f} %",
        "mistakes": f"{wrong:,}",
        "top-2 accuracy": percent(scores.top_2_accuracy),
        "loss": f"{scores.loss:.4f}",
        "calibration": f"expected error {percent(scores.calibration.expected_error)};"
        f" mean confidence {percent(mean)}",
    }


def _networks(runs: Sequence[Run], scores: "Scores") -> dict[str, str]:
    """Describe the run, or each member of an ensemble with its accuracy."""
    if len(runs) == 1:
        return {"run": str(runs[0].path), "network": str(runs[0].model.network)}
    members = [
        f"{run.path}: {percent(share)} alone; {run.model.network}"
        for run, share in zip(runs, scores.member_accuracies, strict=True)
    ]
    return {
        "ensemble": f"{len(runs)} networks, by their mean probabilities",
        "members": "\n".join(members),
    }


def _averaged_over(versions: int) -> dict[str, str]:
    if versions == 1:
        return {}
    words = f"mean of {versions} versions of each image, its strokes thicker or thinner"
    return {"test-time augmentation": words}


def _trained_on(run: Run, dataset: Dataset) -> str:
    known = run.model.data
    name = run.summary.get("data")
    if known is None and isinstance(name, str):
        return f"{name}, known only by name: an older version kept no checksum"
    if known is None:
        return "unknown: not recorded in the model"
    return "the same data" if known.checksum == dataset.checksum else f"other data: {known.name}"


def _shares(scores: "Scores", width: int) -> dict[str, np.ndarray]:
    """Return what is shown of each class: on a narrow terminal, whose table would cut, less."""
    shares = {"precision": scores.precision, "recall": scores.recall, "F1": scores.f1}
    return shares if width >= _WIDE else {"recall": scores.recall}


def _mistakes_table(scores: "Scores", rows: np.ndarray) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title="most confident mistakes",
        title_style="bold",
        title_justify="left",
        box=None,
        padding=(0, 2, 0, 0),
    )
    for name in ("image", "is", "taken for", "probability", "of the truth"):
        table.add_column(name, justify="right")
    for row in rows:
        sample = scores.sample(row)
        table.add_row(
            str(sample.index),
            Text(sample.class_names[sample.label]),
            Text(sample.class_names[sample.prediction]),
            percent(float(sample.probabilities[sample.prediction])),
            percent(float(sample.probabilities[sample.label])),
        )
    return table


def _verdict(sample: "Sample") -> "Text":
    from rich.text import Text

    label, taken_for = (sample.class_names[i] for i in (sample.label, sample.prediction))
    text = Text(f"test image {sample.index}: ")
    text.append(f"{label}, ", style="bold")
    if sample.prediction == sample.label:
        text.append("read right", style="bold blue")
    else:
        text.append(f"read as {taken_for}", style="bold dark_orange3")
    return text


def _bars(sample: "Sample", letters: bool, width: int) -> "Table":
    """One line per class; the true class is marked, the predicted one is coloured.

    The bar of probability 1 is ``width`` characters long.
    """
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(justify="right")
    table.add_column(min_width=width)
    table.add_column(justify="right")
    table.add_column()
    for i, name in enumerate(sample.class_names):
        share = float(sample.probabilities[i])
        likeliest, true = i == sample.prediction, i == sample.label
        colour = "blue" if true else "dark_orange3" if likeliest else "bright_black"
        weight = "bold" if likeliest or true else ""
        table.add_row(
            Text(name, style=weight),
            Text("#" * round(share * width) if letters else _bar(share, width), style=colour),
            Text(percent(share), style=weight),
            Text("true" if true else "", style="blue"),
        )
    return table


def _bar(share: float, width: int) -> str:
    """Draw a share in [0, 1] as a bar with a resolution of an eighth of a character."""
    eighths = round(share * width * 8)
    rest = " ▏▎▍▌▋▊▉"[eighths % 8] if eighths % 8 else ""
    return "█" * (eighths // 8) + rest
