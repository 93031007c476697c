"""A look at a network while it trains: what it gets right, and what its first layer looks like."""

import base64
from time import perf_counter, thread_time
from typing import Any

import numpy as np

from ..data.preprocess import flatten
from ..models.inference import logits_of
from ..models.metrics import accuracy, confusion_matrix, cross_entropy
from ..runs.job import Job

MOST_IMAGES = 2000
MOST_TILES = 64
MOST_WRONG = 24
INTERVAL = 0.25  # seconds from one look to the next, at least
SHARE = 0.01  # of the training's time, at most


class Monitor:
    """Evaluates a network on images that it does not train on, as often as it may.

    A look holds the training up, so they take at most :data:`SHARE` of its time.

    Parameters
    ----------
    job
        The training. Its validation images are looked at, or the test images if it has none.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        data, chosen = job.dataset, job.validation_indices
        images, labels = data.train_images, data.train_labels
        if not len(chosen):
            images, labels = data.test_images, data.test_labels
            chosen = np.arange(len(labels))
        self._indices = chosen[:MOST_IMAGES]
        self._x, self._labels = flatten(images)[self._indices], labels[self._indices]
        self._next = 0.0

    def due(self) -> bool:
        """Whether there is time for another look."""
        return perf_counter() >= self._next

    def look(self, params: np.ndarray, samples: int) -> dict[str, Any]:
        """Return the data of an event "evaluation"; ``params`` are those of the plain network."""
        began = thread_time()  # where others use the cores, both take longer
        job = self._job
        network = job.network.plain
        logits = logits_of(job.kernels, network, params, self._x, job.scale, job.shift)
        found = logits.argmax(axis=1)
        with np.errstate(over="ignore", invalid="ignore"):
            loss = cross_entropy(logits, self._labels)
        looked = {
            "samples": samples,
            "images": len(found),
            "loss": loss if np.isfinite(loss) else None,
            "accuracy": accuracy(self._labels, found),
            "confusion": confusion_matrix(self._labels, found, logits.shape[1]).tolist(),
            "weights": _tiles(network.views(params)[0][0], self._image_shape()),
            "wrong": self._wrong(found),
            "classes": list(job.dataset.class_names),
        }
        pause = (thread_time() - began) / SHARE
        self._next = perf_counter() + max(INTERVAL, pause)
        return looked

    def _image_shape(self) -> list[int]:
        return list(self._job.dataset.train_images.shape[1:])

    def _wrong(self, found: np.ndarray) -> list[dict[str, Any]]:
        full = self._job.dataset.pixel_max or 255
        return [
            {
                "index": int(self._indices[place]),
                "label": int(self._labels[place]),
                "predicted": int(found[place]),
                "image": _bytes(self._x[place] * (255 / full)),
            }
            for place in np.flatnonzero(found != self._labels)[:MOST_WRONG]
        ]


def _tiles(weights: np.ndarray, shape: list[int]) -> dict[str, Any]:
    """Return the weights (I, O) of the first units, each scaled so that 128 is 0."""
    units = np.nan_to_num(weights[:, :MOST_TILES].T, posinf=0, neginf=0)
    largest = np.abs(units).max(axis=1, keepdims=True)
    scaled = 128 + 127 * units / np.where(largest > 0, largest, 1)
    return {"count": len(units), "shape": shape, "tiles": _bytes(scaled)}


def _bytes(values: np.ndarray) -> str:
    return base64.b64encode(values.clip(0, 255).astype(np.uint8).tobytes()).decode()
