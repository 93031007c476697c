"""The page that compares several runs."""

from collections.abc import Iterable, Mapping, Sequence
from types import ModuleType

import numpy as np

from .. import figures
from ..data import Dataset
from ..models.metrics import accuracy, exact_mcnemar, percent
from ..runs.folder import Run
from ..runs.scores import Scores, score
from .page import Drawing, Page, Part, Section, Table, Text
from .single import number, spelled

_HARDEST = 20


def page(kernels: ModuleType, runs: Sequence[Run], datasets: Sequence[Dataset]) -> Page:
    """Evaluate each run on its test images and compare the runs."""
    names = _names(runs)
    all_scores = [score(kernels, run, dataset) for run, dataset in zip(runs, datasets, strict=True)]
    results = dict(zip(names, all_scores, strict=True))
    by_name = dict(zip(names, runs, strict=True))
    sections = [Section("Results", list(_results(by_name, results, datasets)))]
    alike = _same_data(all_scores, datasets)
    if alike:
        sections[0].parts.append(_together(all_scores))
        sections.append(Section("More than chance?", list(_chance(results)), False))
    sections.append(Section("Learning", list(_learning(by_name)), False))
    sections.append(Section("What differs", list(_differences(by_name)), False))
    if alike:
        images = datasets[0].test_images
        sections.append(Section("Misread by every run", list(_hardest(results, images)), False))
    where = " and ".join(dict.fromkeys(_data_names(datasets)))
    notices = dict.fromkeys(notice for data in datasets for notice in data.notices)
    subtitle = " ".join([f"{', '.join(names)}; test images of {where}.", *notices])
    return Page(f"{len(runs)} runs compared", subtitle, sections)


def _names(runs: Sequence[Run]) -> list[str]:
    """Return the names of the runs, or their paths where names are not unique."""
    names = [run.name for run in runs]
    return [
        name if names.count(name) == 1 else str(run.path)
        for name, run in zip(names, runs, strict=True)
    ]


def _data_names(datasets: Sequence[Dataset]) -> list[str]:
    """Return the names of the data sets, or their folders where different data share a name."""
    sums: dict[str, set[str]] = {}
    for data in datasets:
        sums.setdefault(data.name, set()).add(data.checksum)
    return [
        data.name if len(sums[data.name]) == 1 else data.folder or data.name for data in datasets
    ]


def _same_data(scores: Sequence[Scores], datasets: Sequence[Dataset]) -> bool:
    """Whether all runs were tested on the same images and labels."""
    first = datasets[0]
    return all(
        other is first
        or (
            other.test_images.shape == first.test_images.shape
            and np.array_equal(other.test_labels, first.test_labels)
            and np.array_equal(other.test_images, first.test_images)
        )
        for other in datasets[1:]
    ) and all(one.class_names == scores[0].class_names for one in scores)


def _results(
    runs: Mapping[str, Run], results: Mapping[str, Scores], datasets: Sequence[Dataset]
) -> Iterable[Part]:
    rows = []
    for (name, run), data_name in zip(runs.items(), _data_names(datasets), strict=True):
        scores, summary = results[name], run.summary
        low, high = (100 * bound for bound in scores.interval)
        seconds = number(summary.get("train_seconds"))
        rows.append(
            [
                name,
                "-".join(map(str, run.model.network.layer_sizes)),
                data_name,
                percent(scores.accuracy),
                f"{low:.2f} to {high:.2f} %",
                percent(scores.top_2_accuracy),
                f"{scores.loss:.4f}",
                percent(scores.calibration.expected_error),
                str(len(run.history)) if run.history else "-",
                "-" if seconds is None else f"{seconds:,.2f} s",
            ]
        )
    accuracies = [results[name].accuracy for name in runs]
    best = frozenset(i for i, share in enumerate(accuracies) if share == max(accuracies))
    heads = [
        "run", "network", "data", "accuracy", "95 % interval", "top-2", "loss",
        "calibration error", "epochs", "training",
    ]  # fmt: skip
    yield Table(heads, rows, "Test images", frozenset(range(3, 10)), best)
    yield Drawing(
        "accuracy",
        figures.compare_accuracy(
            {name: scores.accuracy for name, scores in results.items()},
            {name: scores.interval for name, scores in results.items()},
        ),
        "Test accuracy. Each interval is Wilson's; it holds for one set of weights and says"
        " nothing about how another seed would do.",
    )


def _together(all_scores: Sequence[Scores]) -> Text:
    """Say how the runs do as an ensemble; all were tested on the same images."""
    mean = np.mean([scores.probabilities for scores in all_scores], axis=0)
    share = accuracy(all_scores[0].labels, mean.argmax(axis=1))
    return Text(
        f"Together the runs read {percent(share)} right, by the mean of their probabilities, as"
        " mnistcore evaluate does if it is given all of them."
    )


def _chance(results: Mapping[str, Scores]) -> Iterable[Part]:
    best = max(results, key=lambda name: results[name].accuracy)
    rows = []
    for name, scores in results.items():
        if name == best:
            continue
        only_best, only_this, p_value = exact_mcnemar(results[best].hits, scores.hits)
        shown = "<0.0001" if p_value < 0.0001 else f"{p_value:.4f}"
        rows.append([name, f"{only_best:,}", f"{only_this:,}", shown])
    yield Text(
        f"Against {best}, on the same test images: how many one run reads right and the other"
        " wrong. If the two were equally good, a split at least this uneven would occur with"
        " probability p (McNemar's exact test). Because the images are the same, this says more"
        " than whether intervals overlap."
    )
    heads = ["run", f"only {best} is right", "only this run is right", "p"]
    yield Table(heads, rows, numbers=frozenset({1, 2, 3}))


def _learning(runs: Mapping[str, Run]) -> Iterable[Part]:
    if not any(run.history for run in runs.values()):
        yield Text("There is no record of the epochs for any of these runs.")
        return
    yield Drawing(
        "learning",
        figures.compare_learning({name: run.history for name, run in runs.items()}),
        "Loss and accuracy on the validation images by epoch, and accuracy by seconds of"
        " training. Crosses mark a run without validation, whose figures are those of training."
        " Times compare only between runs on the same machine.",
    )


def _differences(runs: Mapping[str, Run]) -> Iterable[Part]:
    configs = {name: run.model.config for name, run in runs.items()}
    options = dict.fromkeys(option for config in configs.values() for option in config)
    rows = []
    for option in options:
        values = [
            spelled(config[option]) if option in config else "not known"
            for config in configs.values()
        ]
        if len(set(values)) > 1:
            rows.append([option, *values])
    if rows:
        yield Table(["option", *runs], rows, "Options that differ between the runs")
    else:
        yield Text("The runs have the same options.")


def _hardest(results: Mapping[str, Scores], images: np.ndarray) -> Iterable[Part]:
    wrong = np.logical_and.reduce([~scores.hits for scores in results.values()])
    rows = np.flatnonzero(wrong)
    if not len(rows):
        yield Text("Every test image is read right by at least one run.")
        return
    best = max(results, key=lambda name: results[name].accuracy)
    scores = results[best]
    yield Text(f"{len(rows):,} test images are read wrong by every run.")
    yield Drawing(
        "hardest",
        figures.mistakes_gallery(
            images[rows],
            scores.labels[rows],
            scores.probabilities[rows],
            scores.class_names,
            rows,
            _HARDEST,
        ),
        f"Those of which {best} is most confident, with its answers: the answer in orange, the"
        " truth in blue.",
    )
