"""The libraries that are compared, each a module with one class, loaded in a process of its own.

All train the same network on the same batches, from the same initial weights, in float32, with
Adam as in Kingma and Ba's algorithm 1 or with plain gradient descent. An epoch visits every sample
once in a new random order, including the last partial batch. Where it is faster for a library, the
pixels are scaled to float32 in memory beforehand.
"""

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np

from benchmarks.sizes import Case

Weights = list[tuple[np.ndarray, np.ndarray]]  # per layer (fan_in, fan_out) and (fan_out,)


@dataclass(frozen=True, eq=False)
class Job:
    """What a library is to train: images (N, I) uint8, labels (N,) int32, initial weights."""

    library: str
    case: Case
    threads: int
    images: np.ndarray
    labels: np.ndarray
    weights: Weights


class Peer(ABC):
    """A network in some library, ready to train and to predict.

    Attributes
    ----------
    note
        How the library is used, where there is a choice.
    follows_order
        Whether ``train`` visits the samples in the order given; else the library shuffles.
    """

    note = ""
    follows_order = True

    def __init__(self, job: Job) -> None:
        self.job = job

    def tune(self) -> None:  # noqa: B027  (most libraries leave nothing to choose)
        """Choose the fastest of several recommended ways, by trying them."""

    @abstractmethod
    def train(self, order: np.ndarray) -> None:
        """Train once on the samples of ``order``, batch by batch, and return when it is done."""

    @abstractmethod
    def predict(self, images: np.ndarray) -> np.ndarray:
        """The class ids (N,) of uint8 images (N, I)."""

    @abstractmethod
    def weights(self) -> Weights:
        """The weights as they are now, float32."""

    def batches(self, order: np.ndarray) -> Iterable[np.ndarray]:
        """The parts of ``order`` that make a batch each; the last may be smaller."""
        size = self.job.case.batch_size
        return (order[first : first + size] for first in range(0, len(order), size))

    def scaled_images(self) -> np.ndarray:
        """All images in memory as float32 in [0, 1]."""
        return np.multiply(self.job.images, np.float32(1 / 255), dtype=np.float32)


@dataclass(frozen=True)
class Library:
    """Where the class for a library is, which packages it needs, and what is measured of it."""

    title: str
    location: str  # module and class
    requires: tuple[str, ...]
    trains: bool = True
    predicts: bool = True

    @property
    def does_all(self) -> bool:
        """Whether it is measured as a whole: also its start and its memory."""
        return self.trains and self.predicts

    @property
    def installed(self) -> bool:
        """Whether all that it needs can be found."""
        return all(find_spec(name) is not None for name in self.requires)

    def load(self) -> Callable[[Job], Peer]:
        """Its class."""
        module, name = self.location.split(":")
        loaded: Callable[[Job], Peer] = getattr(
            importlib.import_module(f".{module}", __package__), name
        )
        return loaded


LIBRARIES = {
    "mnistcore-numba": Library("mnistcore, numba", "ours:Mnistcore", ("numba",)),
    "mnistcore-cython": Library("mnistcore, cython", "ours:Mnistcore", ("mnistcore",)),
    "mnistcore-numba-dense": Library(
        "mnistcore, numba, zeros multiplied", "ours:Mnistcore", ("numba",), predicts=False
    ),
    "mnistcore-cython-dense": Library(
        "mnistcore, cython, zeros multiplied", "ours:Mnistcore", ("mnistcore",), predicts=False
    ),
    "mnistcore-numpy": Library("mnistcore, numpy", "ours:Mnistcore", ("numpy",)),
    "numpy": Library("plain NumPy loop", "plain_numpy:PlainNumpy", ("numpy",)),
    "torch": Library("PyTorch eager", "pytorch:Eager", ("torch",)),
    "torch-compile": Library("torch.compile", "pytorch:Compiled", ("torch",)),
    "jax": Library("JAX", "jax_scan:JaxScan", ("jax",)),
    "keras": Library("Keras", "keras_fit:KerasFit", ("keras", "jax")),
    "sklearn": Library("scikit-learn", "scikit_learn:ScikitLearn", ("sklearn",)),
    "onnxruntime": Library(
        "onnxruntime", "onnx_runtime:OnnxRuntime", ("onnx", "onnxruntime"), trains=False
    ),
}
