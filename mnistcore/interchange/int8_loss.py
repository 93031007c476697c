"""Measure the accuracy that 8-bit weights cost, on the same test images as float weights."""

from dataclasses import dataclass

import numpy as np

from ..data import Dataset
from ..data.preprocess import as_bytes
from ..kernels.backends import get_backend
from ..models.datasets import fitted
from ..models.inference import PART
from ..models.metrics import accuracy, percent
from ..models.model import Model
from .int8 import int8_logits, quantize


@dataclass(frozen=True)
class Int8Loss:
    """The accuracy with float and with 8-bit weights on test images; ``str`` gives a sentence.

    Attributes
    ----------
    data
        The name of the data set.
    images
        The number of its test images.
    float_accuracy, int8_accuracy
        Shares of correctly classified images, in [0, 1].
    same_labels
        The number of images that get the same label from both.
    """

    data: str
    images: int
    float_accuracy: float
    int8_accuracy: float
    same_labels: int

    def __str__(self) -> str:
        points = round(100 * (self.float_accuracy - self.int8_accuracy), 2)
        compared = "as many as"
        if points:
            compared = f"{abs(points):.2f} points {'worse' if points > 0 else 'better'} than"
        return (
            f"right on {percent(self.int8_accuracy)} of {self.images:,} test images"
            f" ({self.data}), {compared} with float weights"
        )


def measure(model: Model, dataset: Dataset) -> Int8Loss:
    """Compare a model with its quantised version on the test images of a data set.

    Raises
    ------
    ValueError
        If the images or the classes do not fit the model, or a layer is too large.
    """
    dataset = fitted(model, dataset)
    images, labels = dataset.test_images, dataset.test_labels
    model = model.scaled_alike(*dataset.pixel_ends)
    if model.float_pixels:  # the file takes bytes
        images = as_bytes(images, model.pixel_max or dataset.pixel_max)
        model = model.taking_bytes()
    exact = model.logits(get_backend(), images).argmax(axis=1)
    layers = quantize(model)
    rounded = np.concatenate(
        [
            int8_logits(layers, model.scale, images[first : first + PART]).argmax(axis=1)
            for first in range(0, len(images), PART)
        ]
    )
    known = model.data is None or model.data.checksum == dataset.checksum
    return Int8Loss(
        dataset.name if known else f"{dataset.name}, which it was not trained on",
        len(images),
        accuracy(labels, exact),
        accuracy(labels, rounded),
        int((exact == rounded).sum()),
    )
