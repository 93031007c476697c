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
from ..models import checkpoint
from ..models.inference import NOT_FINITE
from ..models.model import Model
from ..system.errors import by, few


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
        its weights are not finite. The message begins with the path.
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
    if not np.isfinite(model.params).all():
        raise ValueError(f"{path}: {NOT_FINITE}")
    checksum = hashlib.sha256(checkpoint.model_file(path).read_bytes()).hexdigest()
    return Teacher(path, checksum, model.scaled_alike(dataset.pixel_max))


def soft_targets(
    teachers: Sequence[Teacher],
    kernels: ModuleType,
    dataset: Dataset,
    temperature: float,
    weight: float,
) -> np.ndarray:
    """Return what a network is to learn from its teachers and from the labels.

    Parameters
    ----------
    teachers
        At least one.
    kernels
        The module of a backend.
    dataset
        The data set, whose training images the teachers see as they are.
    temperature
        Divides the teachers' logits: above 1, their probabilities are more even.
    weight
        The share of the teachers' mean probabilities; the rest is that of the label.

    Returns
    -------
    ndarray of float32, shape (N, C)
        A row of probabilities for each training image.
    """
    labels, classes = dataset.train_labels, len(dataset.class_names)
    targets = one_hot(labels, classes) * np.float32(1 - weight)
    for teacher in teachers:
        logits = teacher.model.logits(kernels, dataset.train_images)
        logits /= np.float32(temperature)
        kernels.softmax(logits, logits)
        targets += logits * np.float32(weight / len(teachers))
    return targets
