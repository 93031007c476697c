"""Evaluation of a trained network: its scores on a data set, and its prediction for one image."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from ..data import Dataset
from ..kernels.backends import BACKENDS, get_backend
from ..kernels.blas import limited
from ..models.datasets import fitted
from ..models.ensemble import Ensemble, averaged
from ..models.inference import NOT_FINITE
from ..models.metrics import (
    Calibration,
    accuracy,
    calibration,
    class_scores,
    confusion_matrix,
    cross_entropy,
    top_k_accuracy,
    wilson_interval,
)
from ..training.augmentation import versions_of
from ..training.data_options import RunDataOptions
from ..training.options import Range, document_options, option
from .data import SPLITS, common_indices, load_run_data
from .folder import Run, as_runs, load_run

Source = str | Path | Run


@dataclass(frozen=True, kw_only=True)
class SourceConfig(RunDataOptions):
    """Options shared by several commands: the data to evaluate on, the backend and its threads."""

    backend: str = option(
        "auto", str, "kernels; auto is the fastest one here", choices=("auto", *BACKENDS)
    )
    threads: int = option(
        0,
        int,
        "maximum threads; 0 is OMP_NUM_THREADS or one per core, for numpy one",
        limits=Range(0, 4096),
        metavar="N",
    )


@document_options
@dataclass(frozen=True, kw_only=True)
class EvaluateConfig(SourceConfig):
    """The options of an evaluation, checked.

    Raises
    ------
    TypeError, ValueError
        If a value is of the wrong kind or out of range.
    """

    split: str = option(
        "test",
        str,
        "which images; validation and train are split as in the run",
        choices=SPLITS,
    )
    bins: int = option(
        15, int, "bins of confidence for the calibration", limits=Range(1, 1000), metavar="N"
    )
    mistakes: int = option(
        10, int, "number of confident mistakes to list", limits=Range(0, 10**6), metavar="N"
    )
    test_time_augmentation: int = option(
        1,
        int,
        "average over N versions of each image: itself, and N - 1 with thicker or thinner strokes",
        limits=Range(1, 1000),
        metavar="N",
    )


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of a model, or of several that predict together, on N images of C classes.

    Attributes
    ----------
    split
        "test", "validation" or "train".
    indices
        (N,) int64, the index of each image among the test images or the training images.
    labels, predictions
        (N,) class ids.
    probabilities
        (N, C) float32.
    loss
        The mean cross-entropy in nats.
    accuracy, top_2_accuracy
        The share of images whose label is the most probable class, or among the top two.
    interval
        The 95 % Wilson interval of the accuracy.
    confusion
        (C, C) int64, true classes by row.
    precision, recall, f1
        (C,) float64, per class; NaN where the denominator is 0.
    calibration
        How well the confidences match the accuracy.
    class_names
        The name of each class.
    member_accuracies
        The accuracy of each model alone.
    versions
        How many versions of each image the probabilities are the mean of; 1 is the image itself.
    """

    split: str
    indices: np.ndarray
    labels: np.ndarray
    predictions: np.ndarray
    probabilities: np.ndarray
    loss: float
    accuracy: float
    top_2_accuracy: float
    interval: tuple[float, float]
    confusion: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    calibration: Calibration
    class_names: tuple[str, ...]
    member_accuracies: tuple[float, ...]
    versions: int = 1

    @property
    def hits(self) -> np.ndarray:
        """(N,) bool: whether each prediction is correct."""
        return np.asarray(self.labels == self.predictions)

    @property
    def confidences(self) -> np.ndarray:
        """(N,) the probability of each predicted class."""
        return np.asarray(self.probabilities.max(axis=1))

    def confident_mistakes(self, most: int | None = None) -> np.ndarray:
        """Return the rows of the wrong predictions, most confident first; at most ``most``."""
        wrong = np.flatnonzero(~self.hits)
        return wrong[np.argsort(-self.confidences[wrong], kind="stable")][:most]

    def sample(self, row: int) -> "Sample":
        """Return the prediction for one image, by its row."""
        return Sample(
            self.split,
            int(self.indices[row]),
            int(self.labels[row]),
            self.probabilities[row],
            self.class_names,
            self.versions,
        )

    def to_dict(self, mistakes: int = 10) -> dict[str, Any]:
        """Return the scores for strict JSON: None stands for NaN. Lists up to ``mistakes``."""
        low, high = self.interval
        classes = [
            {"name": name, "images": int(images), "precision": p, "recall": r, "f1": f}
            for name, images, p, r, f in zip(
                self.class_names,
                self.confusion.sum(axis=1),
                _numbers(self.precision),
                _numbers(self.recall),
                _numbers(self.f1),
                strict=True,
            )
        ]
        return {
            "split": self.split,
            "test_time_augmentation": self.versions,
            "images": len(self.labels),
            "mistakes": int((~self.hits).sum()),
            "accuracy": self.accuracy,
            "member_accuracies": list(self.member_accuracies),
            "accuracy_interval_95": [low, high],
            "top_2_accuracy": self.top_2_accuracy,
            "loss": self.loss,
            "classes": classes,
            "confusion_matrix": self.confusion.tolist(),
            "calibration": _calibration_dict(self.calibration),
            "confident_mistakes": [
                self.sample(row).to_dict() for row in self.confident_mistakes(mistakes)
            ],
        }


@dataclass(frozen=True, eq=False)
class Sample:
    """The prediction for one image: its true class id and the class probabilities (C,).

    ``versions`` is as in :class:`Scores`.
    """

    split: str
    index: int
    label: int
    probabilities: np.ndarray
    class_names: tuple[str, ...]
    versions: int = 1

    @property
    def prediction(self) -> int:
        """The most probable class id."""
        return int(self.probabilities.argmax())

    def to_dict(self) -> dict[str, Any]:
        """Return the sample as a dictionary for strict JSON."""
        return {
            "split": self.split,
            "test_time_augmentation": self.versions,
            "index": self.index,
            "label": self.class_names[self.label],
            "prediction": self.class_names[self.prediction],
            "probabilities": [float(p) for p in self.probabilities],
        }


def run(
    source: Source | Sequence[Source],
    config: EvaluateConfig | None = None,
    *,
    dataset: Dataset | None = None,
) -> Scores:
    """Evaluate a trained network, or several whose probabilities are averaged.

    Parameters
    ----------
    source
        A run folder, a ``.safetensors`` file, or a run that :func:`.load_run` returned; or a list
        of these, which make an :class:`.Ensemble`.
    config
        The options; by default the test images of the data that the run was trained on.
    dataset
        Data to evaluate on instead of that of the config or the run.

    Returns
    -------
    Scores
        Accuracy, loss, confusion matrix, calibration and the prediction of each image.

    Warns
    -----
    UserWarning
        If the loaded data is not what the run was trained on, or looks wrong.

    Raises
    ------
    FileNotFoundError
        If there is no such run.
    ValueError
        If the run or its data cannot be used or do not fit together, if the model's outputs
        are not finite, or if test-time augmentation cannot deform the images.
    BackendUnavailableError
        If the backend cannot be loaded.
    OSError
        If a file cannot be read.

    Examples
    --------
    >>> import mnistcore
    >>> scores = mnistcore.evaluate("runs/first")
    >>> low, high = scores.interval
    >>> low < scores.accuracy < high
    True
    >>> scores.confusion.shape
    (10, 10)
    """
    config = config or EvaluateConfig()
    kernels, loaded, dataset = _loaded(source, config, dataset)
    with limited(kernels.NAME, config.threads):
        versions = config.test_time_augmentation
        return score(kernels, loaded, dataset, config.split, config.bins, versions)


def load_members(sources: Source | Sequence[Source]) -> list[Run]:
    """Load the runs that are evaluated together, one or several.

    Raises
    ------
    FileNotFoundError, ValueError, OSError
        As :func:`.load_run`; or if the runs make no :class:`.Ensemble`.
    """
    listed = [sources] if isinstance(sources, str | Path | Run) else sources
    runs = [source if isinstance(source, Run) else load_run(source) for source in listed]
    _together(runs)
    return runs


def _together(runs: Sequence[Run]) -> Ensemble:
    return Ensemble([run.model for run in runs], [str(run.path) for run in runs])


def _loaded(
    source: Source | Sequence[Source], config: EvaluateConfig, dataset: Dataset | None
) -> tuple[ModuleType, list[Run], Dataset]:
    """Load the backend, the runs and the data; the backend first, as it may be unavailable."""
    kernels = get_backend(config.backend)
    loaded = load_members(source)
    if dataset is None:
        dataset = load_run_data(loaded, config)
        for notice in dataset.notices:
            warnings.warn(notice, stacklevel=3)
    return kernels, loaded, dataset


def score(
    kernels: ModuleType,
    run: Run | Sequence[Run],
    dataset: Dataset,
    split: str = "test",
    bins: int = 15,
    versions: int = 1,
) -> Scores:
    """Evaluate one loaded run or several on a loaded data set; :func:`run` loads them.

    Raises
    ------
    ValueError
        If models and data do not fit, the split is unknown or empty, outputs are not finite, or
        the images cannot be deformed.
    """
    ensemble, dataset = _fitted(_together(as_runs(run)), dataset)
    indices = common_indices(ensemble.members, dataset, split)
    images, labels = images_of(dataset, split)
    if not len(indices):
        raise ValueError(f"{dataset.name} has no {split} images")
    labels = labels[indices]
    by_member = _logits(kernels, ensemble, images, indices, versions)
    logits = averaged(by_member)
    probabilities = np.empty_like(logits)
    kernels.softmax(logits, probabilities)
    predictions = logits.argmax(axis=1)
    hits = predictions == labels
    confusion = confusion_matrix(labels, predictions, logits.shape[1])
    confidences = np.minimum(probabilities.max(axis=1), 1)  # float32 may round a hair above 1
    return Scores(
        split,
        indices,
        labels,
        predictions,
        probabilities,
        cross_entropy(logits, labels),
        accuracy(labels, predictions),
        top_k_accuracy(logits, labels, 2),
        wilson_interval(int(hits.sum()), len(hits)),
        confusion,
        *class_scores(confusion),
        calibration(confidences, hits, bins),
        ensemble.class_names,
        tuple(accuracy(labels, member.argmax(axis=1)) for member in by_member),
        versions,
    )


def run_sample(
    source: Source | Sequence[Source],
    index: int,
    config: EvaluateConfig | None = None,
    *,
    dataset: Dataset | None = None,
) -> tuple[Sample, np.ndarray]:
    """Return the prediction for one test image, and the image (H, W).

    Parameters and errors as :func:`run`; raises ValueError also if ``index`` is out of range.
    """
    config = config or EvaluateConfig()
    kernels, loaded, dataset = _loaded(source, config, dataset)
    ensemble, dataset = _fitted(_together(loaded), dataset)
    n, versions = len(dataset.test_labels), config.test_time_augmentation
    if not 0 <= index < n:
        raise ValueError(f"the index of a test image must be in [0, {n}), got {index}")
    images, label = dataset.test_images, int(dataset.test_labels[index])
    with limited(kernels.NAME, config.threads):
        logits = averaged(_logits(kernels, ensemble, images, np.array([index]), versions))
        kernels.softmax(logits, logits)
    return Sample("test", index, label, logits[0], ensemble.class_names, versions), images[index]


def _fitted(ensemble: Ensemble, dataset: Dataset) -> tuple[Ensemble, Dataset]:
    """Return the members scaled for the pixels of the data, and the data in their classes."""
    for member in ensemble.members:
        dataset = fitted(member, dataset)
    return ensemble.scaled_alike(*dataset.pixel_ends), dataset


def _logits(
    kernels: ModuleType, ensemble: Ensemble, images: np.ndarray, indices: np.ndarray, versions: int
) -> np.ndarray:
    """Return the logits (M, N, C) of each member for some images, averaged over versions of them.

    Raises ValueError if they are not finite.
    """
    shown = versions_of(kernels, images, indices, versions)
    by_member = averaged(ensemble.member_logits(kernels, version) for version in shown)
    for name, logits in zip(ensemble.names, by_member, strict=True):
        if not np.isfinite(logits).all():
            raise ValueError(f"{name}: {NOT_FINITE}")
    return by_member


def images_of(dataset: Dataset, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the images (N, H, W) and labels (N,) that the indices of a split refer to."""
    if split == "test":
        return dataset.test_images, dataset.test_labels
    return dataset.train_images, dataset.train_labels


def _calibration_dict(result: Calibration) -> dict[str, Any]:
    bins = zip(
        result.edges[:-1].tolist(),
        result.edges[1:].tolist(),
        result.counts.tolist(),
        _numbers(result.confidence),
        _numbers(result.accuracy),
        strict=True,
    )
    return {
        "expected_calibration_error": result.expected_error,
        "maximum_calibration_error": result.largest_error,
        "bins": [
            {"above": low, "up_to": high, "images": count, "confidence": mean, "accuracy": share}
            for low, high, count, mean, share in bins
        ],
    }


def _numbers(values: np.ndarray) -> list[float | None]:
    """Convert to a list for JSON, with None in place of NaN."""
    return [None if math.isnan(value) else float(value) for value in values]
