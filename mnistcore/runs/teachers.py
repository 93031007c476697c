"""Distillation: trained networks give the targets that another one is trained on.

Source: Hinton, Vinyals and Dean 2015, "Distilling the knowledge in a neural network". There the
student's logits are divided by the temperature as well; here they are not, and the student learns
the softened probabilities as they are.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType

import numpy as np

from ..data import Dataset
from ..data.preprocess import one_hot
from ..kernels.backends import get_backend
from ..models import checkpoint
from ..models.inference import NOT_FINITE, PART
from ..models.model import Model
from ..system.errors import by, few
from ..training.records import NonFiniteLossError


@dataclass(frozen=True, eq=False)
class Teacher:
    """A trained network to learn from.

    Attributes
    ----------
    path
        Its run folder or model file.
    checksum
        The SHA-256 of the model file.
    model
        The network, scaled for the pixels of the data.
    """

    path: str
    checksum: str
    model: Model


def load_teachers(paths: Sequence[str], dataset: Dataset) -> tuple[Teacher, ...]:
    """Read the networks that a run learns from, and check that they fit its data.

    Raises
    ------
    ValueError
        If a file is damaged, a network takes other images or has other classes than the data, or
        its outputs for the first images are not finite. The message begins with the path.
    OSError
        If a file cannot be read.
    """
    return tuple(_load(path, dataset) for path in paths)


def _load(path: str, dataset: Dataset) -> Teacher:
    model = checkpoint.load(path)
    shape, names = dataset.train_images.shape[1:], dataset.class_names
    if model.input_shape not in (shape, (math.prod(shape),)):
        raise ValueError(
            f"{path}: the teacher takes images of {by(model.input_shape)} pixels;"
            f" {dataset.name} has {by(shape)}"
        )
    if model.class_names != names:
        raise ValueError(
            f"{path}: the classes of the teacher are {few(model.class_names)}; those of"
            f" {dataset.name} are {few(names)}"
        )
    model = model.scaled_alike(*dataset.pixel_ends)
    first = model.logits(get_backend("numpy"), dataset.train_images[:PART])
    if not np.isfinite(first).all():
        raise ValueError(f"{path}: {NOT_FINITE}")
    checksum = hashlib.sha256(checkpoint.model_file(path).read_bytes()).hexdigest()
    return Teacher(path, checksum, model)


class SoftTargets:
    """What a network is to learn from its teachers and from the labels.

    Parameters
    ----------
    teachers
        At least one.
    kernels
        The module of a backend.
    dataset
        The data set with the labels.
    temperature
        Divides the teachers' logits: above 1, their probabilities are more even.
    weight
        The share of the teachers' mean probabilities; the rest is that of the label.

    Attributes
    ----------
    rows : ndarray of float32, shape (N, C)
        The probabilities for each training image, undefined until they are written.
    """

    def __init__(
        self,
        teachers: Sequence[Teacher],
        kernels: ModuleType,
        dataset: Dataset,
        temperature: float,
        weight: float,
    ) -> None:
        self._kernels, self._labels = kernels, dataset.train_labels
        models = [(teacher.path, teacher.model) for teacher in teachers]
        self._predictors = [
            (path, model.network.predictor(kernels, model.params, model.scale, model.shift))
            for path, model in models
        ]
        self._temperature = temperature
        self._label_share = np.float32(1 - weight)
        self._teacher_share = np.float32(weight / len(teachers))
        self.rows = np.empty((len(self._labels), len(dataset.class_names)), np.float32)

    def write(self, x: np.ndarray, samples: np.ndarray) -> None:
        """Write the rows of ``samples``, whose images are those rows of x (N, I).

        Raises
        ------
        NonFiniteLossError
            If a teacher's outputs for them are not finite.
        """
        images, labels = x[samples], self._labels[samples]
        targets = one_hot(labels, self.rows.shape[1]) * self._label_share
        for path, predictor in self._predictors:
            with np.errstate(over="ignore", invalid="ignore"):
                logits = predictor.forward(images)
            if not np.isfinite(logits).all():
                raise NonFiniteLossError(f"{path}: {NOT_FINITE}")
            logits = _divided(logits, self._temperature)
            self._kernels.softmax(logits, logits)
            targets += logits * self._teacher_share
        self.rows[samples] = targets


def _divided(logits: np.ndarray, temperature: float) -> np.ndarray:
    """Return logits (B, C), less the largest of each row, divided by a temperature."""
    gaps = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    with np.errstate(over="ignore"):  # an infinite gap is a probability of 0
        return (gaps / temperature).astype(np.float32)
