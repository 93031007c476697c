"""The report on one run."""

import math
from collections.abc import Iterable, Mapping
from itertools import pairwise
from types import ModuleType
from typing import Any

import numpy as np

from .. import figures
from ..data import Dataset
from ..models.metrics import percent
from ..models.model import Model
from ..runs.data import split_indices
from ..runs.folder import Run
from ..runs.scores import Scores, score
from ..terminal.tables import most_often_taken_for
from ..training.augmentation import (
    MOST_FACTOR,
    check_images,
    deformed,
    faded,
    make_augmentation,
)
from .page import Beside, Drawing, Page, Part, Section, Table, Text, Tiles

_SHOWN = 16  # predictions in the gallery
_EXPLAINED = 10  # images with the pixels that speak for the answer
_ROWS = 24  # most epochs that the table lists
_MISTAKES = 20
_DEFORMED, _EPOCHS = 6, 8  # training images and epochs that show augmentation
_WATCHED = 2000  # images whose hidden activations are drawn
_MOST = 1e15  # seconds, or images a second
_MOST_ACTIVATIONS = 50_000_000  # values of one layer


def page(kernels: ModuleType, run: Run, dataset: Dataset) -> Page:
    """Evaluate a run on the test images and describe it: numbers, figures, configuration."""
    scores = score(kernels, run, dataset)
    images, model = dataset.test_images, run.model.scaled_alike(*dataset.pixel_ends)
    sections = [
        Section("Results", [_tiles(scores, run.summary), _class_table(scores)]),
        Section("Learning", list(_learning(run))),
        Section("Mistakes", list(_mistakes(scores, images))),
        Section("Confidence", list(_confidence(scores, images))),
        Section("Data", [*_data(model, dataset), *_augmentation(kernels, model, dataset)]),
        Section("Inside the network", list(_inside(kernels, model, dataset))),
        Section("Configuration", list(_configuration(run))),
    ]
    return Page(run.name, subtitle(run, dataset), sections)


def subtitle(run: Run, dataset: Dataset) -> str:
    """Describe a run in one line: its network and its data."""
    facts = f"{run.model.network}; {dataset.name}, {len(dataset.test_labels):,} test images."
    unknown = () if run.model.data else ("The model does not say what it was trained on.",)
    return " ".join([facts, *dataset.notices, *unknown])


def _tiles(scores: Scores, summary: Mapping[str, Any]) -> Tiles:
    low, high = (100 * bound for bound in scores.interval)
    wrong = int((~scores.hits).sum())
    tiles = [
        ("Test accuracy", percent(scores.accuracy), f"95 % interval {low:.2f} to {high:.2f} %"),
        ("Mistakes", f"{wrong:,}", f"of {len(scores.labels):,} images"),
        ("Top-2 accuracy", percent(scores.top_2_accuracy), "the truth is among the likeliest two"),
        ("Loss", f"{scores.loss:.4f}", "cross-entropy, nats"),
        (
            "Calibration error",
            percent(scores.calibration.expected_error),
            f"mean confidence {percent(float(scores.confidences.mean()))}",
        ),
    ]
    seconds = number(summary.get("train_seconds"))
    if seconds is not None:
        speed = number(summary.get("samples_per_second"))
        remark = f"{speed:,.0f} images a second" if speed is not None else ""
        tiles.append(("Training", f"{seconds:,.2f} s", remark))
    return Tiles(tiles)


def number(value: object) -> float | None:
    """Return a finite number from a summary, which may have been edited, or None."""
    if not isinstance(value, int | float) or abs(value) > _MOST or math.isnan(value):
        return None
    return float(value)


def _class_table(scores: Scores) -> Table:
    rivals = most_often_taken_for(scores.confusion)
    rows = []
    for i, name in enumerate(scores.class_names):
        counts, rival = scores.confusion[i], rivals[i]
        taken_for = "" if rival is None else f"{scores.class_names[rival]} ({counts[rival]:,})"
        shares = (percent(values[i]) for values in (scores.precision, scores.recall, scores.f1))
        rows.append([name, f"{counts.sum():,}", *shares, taken_for])
    heads = ["class", "images", "precision", "recall", "F1", "most often taken for"]
    return Table(heads, rows, "Test images by class", frozenset({1, 2, 3, 4}))


def _learning(run: Run) -> Iterable[Part]:
    if not run.history:
        yield Text("There is no record of the epochs: a model file alone does not hold one.")
        return
    yield Drawing(
        "learning-curves",
        figures.learning_curves(run.history),
        "Loss and accuracy by epoch. Those of training are running means over the epoch, taken"
        f" before each update{_harder(run.model.config)}; they may be worse than those of"
        " validation, which follows each epoch.",
    )
    yield Table(
        ["epoch", "training loss", "validation loss", "training", "validation", "rate", "seconds"],
        [
            [
                str(r.epoch),
                _figure(r.train_loss),
                _figure(r.validation_loss),
                percent(r.train_accuracy),
                percent(r.validation_accuracy),
                f"{r.learning_rate:.3g}" if math.isfinite(r.learning_rate) else "-",
                f"{r.seconds:.2f}" if math.isfinite(r.seconds) else "-",
            ]
            for r in _thinned(run.history)
        ],
        "Epochs" if len(run.history) <= _ROWS else "A selection of epochs",
        frozenset(range(7)),
    )


def _harder(config: Mapping[str, Any]) -> str:
    """Name what makes the images of training harder than those of validation."""
    dropout = config.get("dropout")
    reasons = {
        "with dropout": any(dropout) if isinstance(dropout, list | tuple) else dropout,
        "on deformed images": config.get("augment"),
        "for smoothed labels": config.get("label_smoothing"),
    }
    return "".join(f", {reason}" for reason, holds in reasons.items() if holds)


def _thinned(history: list[Any]) -> list[Any]:
    """Return at most `_ROWS` records, evenly spaced, including the first and the last."""
    if len(history) <= _ROWS:
        return history
    places = np.unique(np.linspace(0, len(history) - 1, _ROWS).round().astype(int))
    return [history[place] for place in places]


def _figure(value: float | None) -> str:
    return "-" if value is None or not math.isfinite(value) else f"{value:.4f}"


def _mistakes(scores: Scores, images: np.ndarray) -> Iterable[Part]:
    names = scores.class_names
    yield Drawing(
        "confusion",
        figures.confusion_matrix(scores.confusion, names),
        "How many test images of each class (row) were taken for which (column). Those on the"
        " diagonal were read right.",
    )
    if scores.hits.all():
        yield Text("No test image was read wrong.")
        return
    yield Drawing(
        "confusion-mistakes",
        figures.confusion_matrix(scores.confusion, names, normalize=True, mask_diagonal=True),
        "The mistakes alone, as shares of their row: how many of 100 images of a class were taken"
        " for another. The diagonal is left blank.",
    )
    rows = scores.confident_mistakes(_MISTAKES)
    yield Drawing(
        "mistakes",
        figures.mistakes_gallery(
            images[rows], scores.labels[rows], scores.probabilities[rows], names, rows, _MISTAKES
        ),
        "The most confident mistakes, each with its place among the test images and its likeliest"
        " classes: the answer in orange, the truth in blue.",
    )


def _confidence(scores: Scores, images: np.ndarray) -> Iterable[Part]:
    yield Drawing(
        "reliability",
        figures.reliability_diagram(scores.calibration),
        "Left: the share of predictions that are right, by confidence. Where bars end below the"
        " diagonal, the network is more confident than it should be; the hatched gap shows by how"
        " much. Right: how many predictions each bar represents.",
    )
    chosen = np.sort(np.random.default_rng(0).permutation(len(images))[:_SHOWN])
    yield Drawing(
        "predictions",
        figures.predictions_gallery(
            images[chosen],
            scores.labels[chosen],
            scores.probabilities[chosen],
            scores.class_names,
            chosen,
        ),
        "Test images drawn at random with their true class and the likeliest answers: the truth"
        " in blue, a wrong answer in orange.",
    )


def _data(model: Model, dataset: Dataset) -> Iterable[Part]:
    names = dataset.class_names
    yield Text(f"From: {dataset.source}.")
    yield Drawing(
        "classes",
        figures.class_distribution(_splits(model, dataset), names),
        "Images of each class in each split. The dashed line is an even share.",
    )
    yield Drawing(
        "samples",
        figures.sample_sheet(dataset.train_images, dataset.train_labels, names),
        "Training images of each class, drawn at random.",
    )
    yield Drawing(
        "pixels",
        figures.pixel_statistics(dataset.train_images, dataset.pixel_max),
        "The training images pixel by pixel: their mean, how much they vary, and how often each"
        " value occurs.",
    )
    yield Drawing(
        "preprocessing",
        figures.preprocessing(dataset.train_images[0], model.scale, model.shift, dataset.pixel_max),
        "How an image is prepared for the network: every pixel is scaled and shifted, and the"
        " rows are laid end to end. The network is not told which pixels are neighbours.",
    )


def _augmentation(kernels: ModuleType, model: Model, dataset: Dataset) -> Iterable[Part]:
    images, config = dataset.train_images, model.config
    seed, epochs = config.get("seed"), config.get("epochs")
    factor, fade = config.get("augment_strength", 1.0), config.get("augment_fade", 0.0)
    if not config.get("augment") or not isinstance(seed, int) or not isinstance(epochs, int):
        return
    if not all(isinstance(share, int | float) for share in (factor, fade)):
        return
    if not (0 <= factor <= MOST_FACTOR and 0 <= fade <= 1 and 0 < epochs < 10**9):
        return
    try:
        check_images(images)
    except ValueError:  # of other data than the run's
        return
    samples = np.unique(dataset.train_labels, return_index=True)[1][:_DEFORMED]
    options = make_augmentation(factor)
    first = min(_EPOCHS, epochs)
    shown = deformed(
        kernels, images, samples, lambda epoch: faded(options, fade, epoch, epochs), seed, first
    )
    yield Drawing(
        "augmentation",
        figures.deformations(images[samples], np.stack(list(shown), axis=1)),
        "Training images, and what epochs made of them: each rotates, slants, scales, shifts and"
        " bends them anew, with thicker or thinner strokes."
        + " The last epochs do so less and less."
        * bool(fade),
    )


def _splits(model: Model, dataset: Dataset) -> dict[str, np.ndarray]:
    """Return the labels of each split; all training images are one if the split is unknown."""
    try:
        parts = {
            name: dataset.train_labels[split_indices(model, dataset, split)]
            for name, split in (("training", "train"), ("validation", "validation"))
            if split == "train" or model.config.get("validation_fraction")
        }
    except ValueError:
        parts = {"training": dataset.train_labels}
    return {**parts, "test": dataset.test_labels}


def _inside(kernels: ModuleType, model: Model, dataset: Dataset) -> Iterable[Part]:
    yield Drawing(
        "weights",
        figures.first_layer_weights(model),
        "What each unit of the first layer looks for: ink on red pixels excites it, ink on blue"
        " pixels inhibits it. Pixels that never hold ink keep their random initial weights.",
    )
    first = np.unique(dataset.test_labels, return_index=True)[1][:_EXPLAINED]
    yield Drawing(
        "saliency",
        figures.saliency(
            dataset.test_images[first], model.saliency(dataset.test_images[first], kernels)
        ),
        "The first test image of each class, and what the network's answer hangs on: ink on red"
        " pixels speaks for its answer, ink on blue pixels against it.",
    )
    if len(model.network.layer_sizes) == 2:
        yield Text("The network has no hidden layer.")
        return
    widest = max(model.network.layer_sizes[1:-1])
    n = max(50, min(_WATCHED, _MOST_ACTIVATIONS // widest))
    images, labels = dataset.test_images[:n], dataset.test_labels[:n]
    layers = model.forward_pass(kernels, images).hidden
    yield Drawing(
        "activations",
        figures.hidden_activations(layers, labels, model.class_names),
        f"The outputs of the hidden units on {len(images):,} test images. Left: their means by"
        " class; a unit that is dark in a single row responds to that class. Right: all values.",
    )
    yield Drawing(
        "projection",
        figures.hidden_projection(layers[-1], labels, model.class_names),
        "The last hidden layer, projected onto the plane in which it varies most (principal"
        " components). Classes that lie apart here are easy to tell apart; those that overlap"
        " may still be separated in other dimensions.",
    )


def _configuration(run: Run) -> Iterable[Part]:
    network = run.model.network
    last = len(network.layer_sizes) - 2
    rows = [
        [
            str(number),
            f"{fan_in:,}",
            f"{fan_out:,}",
            "softmax" if number == last + 1 else network.activation,
            f"{(fan_in + 1) * fan_out:,}",
        ]
        for number, (fan_in, fan_out) in enumerate(pairwise(network.layer_sizes), 1)
    ]
    heads = ["layer", "inputs", "outputs", "activation", "parameters"]
    yield Table(heads, rows, "Network", frozenset({0, 1, 2, 4}))
    options = [[name, spelled(value)] for name, value in run.model.config.items()]
    facts = [
        [name.replace("_", " "), spelled(value)]
        for name, value in run.summary.items()
        if name not in ("confusion_matrix", "layer_sizes") and not isinstance(value, dict)
    ]
    versions = run.summary.get("versions")
    if isinstance(versions, dict):
        facts.append(["versions", ", ".join(f"{k} {spelled(v)}" for k, v in versions.items())])
    tables = [
        Table(["option", "value"], options, "Options of the run"),
        Table(["figure", "value"], facts, "Recorded by the run"),
    ]
    yield Beside([table for table in tables if table.rows])


def spelled(value: object) -> str:
    """Return a value of a configuration in readable form."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return " ".join(map(spelled, value)) or "none"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
