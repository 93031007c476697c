"""The network of a fitted estimator, which reads rows of features rather than images."""

from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from ..data.arrays import labels_of
from ..data.raw import LONGEST_NAME
from .model import Model, image_shape
from .network import Network


@dataclass(frozen=True, eq=False)
class FittedNetwork:
    """A network fitted to rows of features, and what its outputs mean.

    Attributes
    ----------
    network
        Layer sizes, activation, dropout.
    params
        (P,) float32.
    link
        The function from the logits to the predicted means: "softmax" for classes, "logistic" for
        labels of which several may hold at once, "identity" or "exp" for the values of a
        regressor.
    classes
        The label of each output, (C,) integers, floats, booleans or strings; (0,) for values.

    Raises
    ------
    ValueError
        If the number of classes is not that of the outputs.
    """

    network: Network
    params: np.ndarray
    link: str
    classes: np.ndarray

    def __post_init__(self) -> None:
        outputs = self.network.layer_sizes[-1] if self.classifies else 0
        if len(self.classes) != outputs:
            # A classifier fitted to a single class has the two outputs of a binary one.
            raise ValueError(
                f"the network has {outputs} outputs, and the number of its classes is"
                f" {len(self.classes)}"
            )
        if self.classes.dtype.hasobject or self.classes.dtype.kind in "SMm":
            object.__setattr__(self, "classes", self.classes.astype(str))

    @property
    def classifies(self) -> bool:
        """Whether outputs are classes or labels, and not values."""
        return self.link in ("softmax", "logistic")

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The number of features."""
        return self.network.layer_sizes[:1]

    @property
    def class_names(self) -> tuple[str, ...]:
        """The name of each class or label; a number or boolean is named as in a data set."""
        with suppress(ValueError):  # 0.5 is no label there
            return tuple(map(str, labels_of(self.classes).tolist()))
        return tuple(map(str, self.classes.tolist()))

    def to_model(
        self,
        scale: float = 1.0,
        shift: float = 0.0,
        input_shape: tuple[int, ...] | None = None,
        pixel_max: float | None = None,
    ) -> Model:
        """Return a model of images; see :meth:`.MLPClassifier.to_model`.

        Raises
        ------
        ValueError
            If the outputs are not classes, the shape does not fit the number of features, or a
            number is out of range.
        """
        if self.link != "softmax":
            raise ValueError(
                "a model gives one class for each image; this network predicts several labels or"
                " values"
            )
        if not (np.isfinite([scale, shift]).all() and scale):
            raise ValueError(
                f"scale and shift must be finite, and scale not 0; got {scale} {shift}"
            )
        if pixel_max is not None and not 0 < pixel_max < np.inf:
            raise ValueError(f"pixel_max must be above 0 and finite, got {pixel_max}")
        shape = image_shape(self.network.layer_sizes[0], input_shape)
        if long := next((name for name in self.class_names if len(name) > LONGEST_NAME), None):
            raise ValueError(
                f"the class {long[:20]!r}... has {len(long):,} characters, more than the"
                f" {LONGEST_NAME} of a name"
            )
        return Model(
            self.network, self.params, shape, float(scale), float(shift), self.class_names,
            pixel_max=None if pixel_max is None else float(pixel_max),
        )  # fmt: skip
