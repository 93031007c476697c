"""Several trained models that predict together."""

from collections.abc import Callable, Iterable, Sequence
from copy import copy
from dataclasses import dataclass, replace
from itertools import chain, combinations
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from ..kernels.backends import get_ready_backend
from ..system.errors import by
from . import checkpoint
from .model import Model


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Models whose probabilities are averaged: it predicts as a :class:`.Model` does.

    Its members may differ in their layers, their activation and their scaling of pixels.

    Parameters
    ----------
    members
        The models. One is an ensemble too, which predicts what the model does.
    names
        What messages call them; by default "member 1" and so on.

    Raises
    ------
    ValueError
        If there is no member, or members differ in the size of their images or in their classes,
        or two of them are the same network.

    Examples
    --------
    >>> import mnistcore
    >>> import numpy as np
    >>> first = mnistcore.load("runs/first")
    >>> negative = mnistcore.Model(
    ...     first.network, -first.params, first.input_shape, first.scale, first.shift,
    ...     first.class_names, pixel_max=first.pixel_max,
    ... )
    >>> ensemble = mnistcore.Ensemble([first, negative])
    >>> digits = mnistcore.load_data("synthetic").test_images[:3]
    >>> each = [member.predict_proba(digits) for member in ensemble.members]
    >>> bool(np.allclose(ensemble.predict_proba(digits), np.mean(each, axis=0), atol=1e-6))
    True
    """

    members: Sequence[Model]
    names: Sequence[str] = ()

    def __post_init__(self) -> None:
        members = tuple(self.members)
        names = tuple(self.names) or tuple(f"member {i + 1}" for i in range(len(members)))
        if not members or len(names) != len(members):
            raise ValueError(f"an ensemble of {len(members)} members with {len(names)} names")
        for one, other in combinations(zip(names, members, strict=True), 2):
            _check_pair(*one, *other)
        object.__setattr__(self, "members", members)
        object.__setattr__(self, "names", names)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one image."""
        return max((member.input_shape for member in self.members), key=len)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The name of each class."""
        return self.members[0].class_names

    @property
    def pixel_max(self) -> float | None:
        """The raw pixel value of full ink, of the first member that knows it."""
        known = (member.pixel_max for member in self.members)
        return next((value for value in known if value is not None), None)

    def taking(self, pixel_max: float) -> "Ensemble":
        """Return the ensemble with each member rescaled for raw pixels in [0, pixel_max]."""
        return self.each(lambda member: member.taking(pixel_max))

    def taking_bytes(self) -> "Ensemble":
        """Return the ensemble with each member rescaled for pixels from 0 to 255."""
        return self.each(Model.taking_bytes)

    def taking_pictures(self) -> "Ensemble":
        """Return the ensemble with each member for pixels from 0, paper, to 255, ink."""
        return self.each(Model.taking_pictures)

    def scaled_alike(self, low: float, high: float) -> "Ensemble":
        """Return the ensemble with each member for pixels from low to high."""
        return self.each(lambda member: member.scaled_alike(low, high))

    def each(self, change: Callable[[Model], Model]) -> "Ensemble":
        """Return the ensemble of the changed members, which still agree: nothing is checked."""
        changed = copy(self)
        object.__setattr__(changed, "members", tuple(map(change, self.members)))
        return changed

    def member_logits(self, kernels: ModuleType, images: np.ndarray) -> np.ndarray:
        """Return the logits (M, N, C) float32 of each member; see :meth:`.Model.logits`."""
        return np.stack([member.logits(kernels, images) for member in self.members])

    def logits(self, kernels: ModuleType, images: np.ndarray) -> np.ndarray:
        """Return logits (N, C) float32 whose softmax is the members' mean probability.

        Arguments and errors are those of :meth:`.Model.logits`.
        """
        return averaged(self.member_logits(kernels, images))

    def predict_proba(
        self,
        images: Any,
        backend: str | ModuleType = "auto",
        *,
        pixel_max: float | None = None,
    ) -> np.ndarray:
        """Return the probability of each class (N, C), the mean of the members'.

        Parameters and errors are those of :meth:`.Model.predict_proba`.
        """
        kernels = get_ready_backend(backend)
        alike = self.each(lambda member: replace(member, input_shape=self.input_shape))
        alike = alike if alike.pixel_max is None else alike.taking(alike.pixel_max)
        each = [m.predict_proba(images, kernels, pixel_max=pixel_max) for m in alike.members]
        return np.asarray(np.mean(each, axis=0))

    def predict(
        self,
        images: Any,
        backend: str | ModuleType = "auto",
        *,
        pixel_max: float | None = None,
    ) -> np.ndarray:
        """Return the most probable class of images (N,), as indices into :attr:`class_names`.

        Parameters and errors are those of :meth:`.Model.predict_proba`.
        """
        return np.asarray(self.predict_proba(images, backend, pixel_max=pixel_max).argmax(axis=1))


Sources = str | Path | Model | Ensemble | Sequence[str | Path]


def load_together(source: Sources) -> Model | Ensemble:
    """Read one model, or several as an ensemble, from run folders or model files.

    A model or an ensemble is returned as it is.

    Raises
    ------
    FileNotFoundError, CheckpointError
        As :func:`.checkpoint.load`.
    ValueError
        If there is no path, or the models make no :class:`Ensemble`.
    """
    if isinstance(source, Model | Ensemble):
        return source
    paths = [source] if isinstance(source, str | Path) else source
    if len(paths) == 1:
        return checkpoint.load(paths[0])
    return Ensemble([checkpoint.load(path) for path in paths], [str(path) for path in paths])


def averaged(parts: Iterable[np.ndarray]) -> np.ndarray:
    """Return logits (..., C) whose softmax is the mean of the softmax of several logits.

    They are the logarithms of the mean probabilities. A single part is returned as it is.
    """
    parts = iter(parts)
    first, second = next(parts), next(parts, None)
    if second is None:
        return first
    n, total = 1, _log_softmax(first)
    for part in chain([second], parts):
        with np.errstate(invalid="ignore"):  # NaN stays NaN
            n, total = n + 1, np.logaddexp(total, _log_softmax(part))
    with np.errstate(over="ignore"):  # the logarithm of a probability of 0
        return (total - np.log(n)).astype(first.dtype)


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):  # infinite logits become NaN
        below = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
        return np.asarray(below - np.log(np.exp(below).sum(axis=-1, keepdims=True)))


def _check_pair(name: str, one: Model, other_name: str, other: Model) -> None:
    """Raise ValueError unless two models can be members of one ensemble."""
    shapes = [model.input_shape for model in (one, other)]
    sizes = [model.network.layer_sizes[0] for model in (one, other)]
    if sizes[0] != sizes[1] or (shapes[0] != shapes[1] and min(map(len, shapes)) > 1):
        raise ValueError(
            f"{other_name}: takes images of {by(shapes[1])} pixels, {name} of {by(shapes[0])};"
            " an ensemble needs one size"
        )
    if one.class_names != other.class_names:
        raise ValueError(
            f"{other_name}: has other classes than {name}; an ensemble needs the same, in one order"
        )
    alike = (one.network, one.scale, one.shift) == (other.network, other.scale, other.shift)
    if alike and np.array_equal(one.params, other.params):
        raise ValueError(f"{other_name}: is the same network as {name}; name it once")
