"""A trained network, ready to use, and what it was trained on."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np

from ..data import Dataset
from ..data.preprocess import (
    NEAR,
    as_pixels,
    flatten,
    pixel_ends,
    pixel_range,
    same_scale,
    scale_images,
)
from ..kernels.backends import get_ready_backend
from ..system.errors import by
from ..system.text import spelled
from .forward_pass import ForwardPass
from .inference import NOT_FINITE, PART, logits_of
from .network import Network

_BYTE = 255.0
_LONGEST = 10_000  # letters of a remark on data


@dataclass(frozen=True)
class TrainedOn:
    """The data set that a network was trained on.

    Attributes
    ----------
    name
        The name of the data set, for display.
    checksum
        The checksum of its content, :attr:`.Dataset.checksum`.
    folder
        The absolute path of its folder; None for MNIST and the built-in digits.
    remarks
        Problems found in the data, one or two sentences each.
    look
        How its training images looked: "upright" for upright digits, "no digits", or a
        description of how the digits are turned; None if this could not be determined.
    paper, ink
        The pixels of both, in units of :attr:`Model.pixel_max`: 0 and 1, or 1 and 0 where ink is
        dark, if the pixels of most images reach from nearly 0 to nearly 1; else their own ends.
    """

    name: str
    checksum: str
    folder: str | None = None
    remarks: tuple[str, ...] = ()
    look: str | None = None
    paper: float = 0.0
    ink: float = 1.0

    @classmethod
    def of(cls, dataset: Dataset) -> "TrainedOn":
        """Describe a data set."""
        look, _ = dataset.looks
        known = dataset.name, dataset.checksum, dataset.folder, dataset.remarks, look
        return cls(*known, *dataset.paper_and_ink)

    @property
    def has_dark_ink(self) -> bool:
        """Whether ink was darker than paper, as in :attr:`.Dataset.has_dark_ink`."""
        return self.paper > self.ink

    def to_dict(self) -> dict[str, Any]:
        """Return a dictionary for JSON; :func:`parse_trained_on` reads it back."""
        return {**dataclasses.asdict(self), "remarks": list(self.remarks)}


def parse_trained_on(entry: Mapping[str, Any] | None) -> TrainedOn | None:
    """Read the dictionary of :meth:`TrainedOn.to_dict` from untrusted JSON; None stays None.

    Raises
    ------
    ValueError
        If its content is malformed.
    """
    if entry is None:
        return None
    try:
        folder, look = entry.get("folder"), entry.get("look")
        found = TrainedOn(
            entry["name"], entry["checksum"], folder, tuple(entry["remarks"]), look,
            entry.get("paper", 0.0), entry.get("ink", 1.0),
        )  # fmt: skip
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"has a 'data' that cannot be read ({spelled(error)})") from error
    optional = [text for text in (folder, look) if text is not None]
    texts = (found.name, found.checksum, *found.remarks, *optional)
    good = all(isinstance(text, str) and len(text) < _LONGEST for text in texts)
    ends = found.paper, found.ink
    in_range = all(isinstance(end, int | float) and -1 <= end <= 1 for end in ends)
    if not (good and in_range and found.paper != found.ink):
        raise ValueError("has a 'data' that cannot be read")
    return found


@dataclass(frozen=True, eq=False)
class Model:
    """A trained network, ready to use: :meth:`predict` takes images.

    Attributes
    ----------
    network
        Layer sizes, activation, dropout.
    params
        (P,) float32.
    input_shape
        The shape of one image, (28, 28) for MNIST.
    scale, shift
        A raw pixel enters the network as ``pixel * scale + shift``.
    class_names
        The name of each class.
    config
        The options of the training run, as in ``config.json``; empty if unknown.
    pixel_max
        The raw pixel value of full ink; None if unknown.
    float_pixels
        Whether the raw pixels in training were floats rather than bytes.
    data
        The data set that it was trained on; None if unknown.
    """

    network: Network
    params: np.ndarray
    input_shape: tuple[int, ...]
    scale: float
    shift: float
    class_names: tuple[str, ...]
    config: Mapping[str, Any] = field(default_factory=dict)
    pixel_max: float | None = None
    float_pixels: bool = False
    data: TrainedOn | None = None

    @property
    def full_ink(self) -> float | None:
        """The raw pixel value of full ink, 255 if unknown; None if inputs may be any numbers."""
        unscaled = (self.scale, self.shift) == (1, 0)
        return _BYTE if self.pixel_max is None and not unscaled else self.pixel_max

    @property
    def brightest(self) -> float:
        """The raw pixel value of full ink, 255 if unknown."""
        return self.full_ink or _BYTE

    @property
    def pixel_ends(self) -> tuple[float, float]:
        """The raw pixels that are ends of a range: 0 and full ink, unless it began below 0."""
        full = self.brightest
        return (
            (0.0, full) if self.data is None else pixel_ends(self.data.paper, self.data.ink, full)
        )

    def taking(self, pixel_max: float) -> "Model":
        """Return the model rescaled for raw pixels in [0, pixel_max]; full ink stays full ink.

        Returns the model itself if its inputs may be any numbers, or reach the same.
        """
        full = self.full_ink
        if full is None or full == pixel_max:
            return self
        return dataclasses.replace(self, scale=self.scale * full / pixel_max, pixel_max=pixel_max)

    def scaled_alike(self, low: float, high: float) -> "Model":
        """Return the model, rescaled if the range of its pixels is not that from low to high.

        Those of features may be any.
        """
        own_low, own_high = self.pixel_ends
        if self.full_ink is None or same_scale((own_low, own_high), (low, high)):
            return self
        if own_low == low == 0:
            return self.taking(high)
        ratio = (own_high - own_low) / (high - low)
        shift = self.shift + self.scale * (own_low - ratio * low)
        top, data = max(-low, high), self.data
        if data is not None:
            paper, ink = sorted((low / top, high / top), reverse=data.has_dark_ink)
            data = dataclasses.replace(data, paper=paper, ink=ink)
        return dataclasses.replace(
            self, scale=self.scale * ratio, shift=shift, pixel_max=top, data=data
        )

    def taking_bytes(self) -> "Model":
        """Return the model rescaled for pixels from 0 to 255."""
        return dataclasses.replace(self.taking(_BYTE), float_pixels=False)

    def taking_pictures(self) -> "Model":
        """Return the model for pixels from 0, paper, to 255, ink, whatever its own are."""
        model = self.taking_bytes()
        if self.data is None or (self.data.paper, self.data.ink) == (0, 1):
            return model
        paper, ink = self.data.paper, self.data.ink
        shift = model.shift + model.scale * paper * _BYTE
        return dataclasses.replace(model, scale=model.scale * (ink - paper), shift=shift)

    def logits(self, kernels: ModuleType, images: np.ndarray) -> np.ndarray:
        """Return the logits (N, C) float32 of raw images (N, H, W) or (N, H * W).

        The unchecked step under :meth:`predict`: images are C-contiguous, uint8 or float32, with
        pixels in the range of the training images; :meth:`taking` makes a model for another.

        Raises
        ------
        ValueError
            If the images differ in size from the training images.
        """
        n_inputs = self.network.layer_sizes[0]
        x = flatten(images)
        if x.shape[1] != n_inputs:
            raise ValueError(
                f"the model takes images of {by(self.input_shape)} pixels,"
                f" got {by(images.shape[1:])}"
            )
        return logits_of(kernels, self.network, self.params, x, self.scale, self.shift)

    def predict_proba(
        self,
        images: Any,
        backend: str | ModuleType = "auto",
        *,
        pixel_max: float | None = None,
    ) -> np.ndarray:
        """Return the probability of each class for images.

        Parameters
        ----------
        images
            Anything that ``np.asarray`` turns into booleans, integers or floats. For a model of
            28 x 28 pixels: (N, 28, 28) or (N, 784), also with an axis of length 1 for the
            channel; or a single image, (28, 28) or (784,), which counts as N = 1.
        backend
            The name of a backend, or its module. "auto" is cython if available, otherwise numpy;
            neither has to compile.
        pixel_max
            The pixel value of full ink in these images: 1 for pixels in [0, 1]. By default that
            of the training images, :attr:`pixel_max` (255 if unknown), and 1 for booleans. A
            network of unknown range that takes its inputs unscaled, such as one of a table's
            features, takes any finite numbers.

        Returns
        -------
        ndarray of float32, shape (N, C)
            Rows sum to 1; columns are in the order of :attr:`class_names`.

        Raises
        ------
        TypeError
            If the images are neither booleans nor numbers.
        ValueError
            If the images have another size, hold pixels that are not finite, or are not on the
            scale that ``pixel_max`` says: reaching more than twice that value, or at most 1 where
            the network was trained on larger pixels, or below 0 where it was trained on pixels
            from 0, or the other way round. Also if the outputs are not finite.
        BackendUnavailableError
            If the backend cannot be loaded.

        Examples
        --------
        >>> import mnistcore
        >>> model = mnistcore.load("runs/first")
        >>> digits = mnistcore.load_data("synthetic").test_images[:3]
        >>> model.predict_proba(digits).shape
        (3, 10)
        >>> in_unit_range = digits / 255
        >>> model.predict_proba(in_unit_range, pixel_max=1).shape
        (3, 10)
        """
        kernels, logits = self._checked_logits(images, backend, pixel_max)
        kernels.softmax(logits, logits)
        return logits

    def predict(
        self,
        images: Any,
        backend: str | ModuleType = "auto",
        *,
        pixel_max: float | None = None,
    ) -> np.ndarray:
        """Return the most probable class of images, as indices into :attr:`class_names`.

        Parameters and errors are those of :meth:`predict_proba`.

        Returns
        -------
        ndarray of int64, shape (N,)
            Class ids, to compare with :attr:`.Dataset.test_labels`; their names are
            ``np.array(model.class_names)[ids]``.

        Examples
        --------
        >>> import mnistcore
        >>> import numpy as np
        >>> model = mnistcore.load("runs/first")
        >>> digits = mnistcore.load_data("synthetic")
        >>> ids = model.predict(digits.test_images)
        >>> float((ids == digits.test_labels).mean()) > 0.8
        True
        >>> names = np.array(model.class_names)[ids]
        >>> str(names[0]) == str(ids[0])
        True
        """
        _, logits = self._checked_logits(images, backend, pixel_max)
        return logits.argmax(axis=1)

    def forward_pass(self, kernels: ModuleType, images: np.ndarray) -> ForwardPass:
        """Return what each layer makes of raw images (N, H, W) or (N, H * W), in float32.

        As in :meth:`logits`, they are not checked.
        """
        x = scale_images(flatten(images), self.scale, self.shift)
        return ForwardPass(kernels, self.network, self.params, x)

    def saliency(
        self,
        images: Any,
        backend: str | ModuleType = "auto",
        *,
        pixel_max: float | None = None,
    ) -> np.ndarray:
        """Return how much each pixel speaks for the predicted class of images.

        That is the gradient, by the inputs as they enter the network, of the logit of the
        predicted class less the mean of all logits (Simonyan et al. 2014, "Deep inside
        convolutional networks", section 3). More ink on a pixel above 0 speaks for the class, on
        one below 0 against it. Parameters and errors are those of :meth:`predict_proba`.

        Returns
        -------
        ndarray of float32, shape (N, H, W)

        Examples
        --------
        >>> import mnistcore
        >>> model = mnistcore.load("runs/first")
        >>> model.saliency(mnistcore.load_data("synthetic").test_images[:3]).shape
        (3, 28, 28)
        """
        kernels = get_ready_backend(backend)
        model, x = self._taken(images, pixel_max)
        gradient = np.empty((len(x), *self.input_shape), np.float32)
        for first in range(0, len(x), PART):
            part = slice(first, first + PART)
            forward = model.forward_pass(kernels, x[part])
            logits = forward.logits
            if not np.isfinite(logits).all():
                raise ValueError(NOT_FINITE)
            dlogits = np.full_like(logits, -1 / logits.shape[1])
            dlogits[np.arange(len(logits)), logits.argmax(axis=1)] += 1
            gradient[part] = forward.input_gradient(dlogits).reshape(-1, *self.input_shape)
        return gradient

    def _checked_logits(
        self, images: Any, backend: str | ModuleType, pixel_max: float | None
    ) -> tuple[ModuleType, np.ndarray]:
        kernels = get_ready_backend(backend)
        model, x = self._taken(images, pixel_max)
        logits = model.logits(kernels, x)
        if not np.isfinite(logits).all():
            raise ValueError(NOT_FINITE)
        return kernels, logits

    def _taken(self, images: Any, pixel_max: float | None) -> "tuple[Model, np.ndarray]":
        """Return a model scaled for the images, and these as (N, I) uint8 or float32, checked."""
        images = np.asarray(images)
        n_inputs = self.network.layer_sizes[0]
        if images.shape in (self.input_shape, (n_inputs,)):
            images = images[None]
        sizes = [_long_axes(shape) for shape in (images.shape[1:], self.input_shape, (n_inputs,))]
        if images.ndim < 2 or sizes[0] not in sizes[1:]:
            shape = ", ".join(map(str, self.input_shape))
            raise ValueError(
                f"the model takes images of {by(self.input_shape)} pixels, as an array"
                f" (N, {shape}); got an array of shape {images.shape}"
            )
        if self.full_ink is None:
            return self, as_pixels(images.reshape(len(images), n_inputs))  # features, not pixels
        if pixel_max is None and images.dtype == bool:
            pixel_max = 1.0
        model = dataclasses.replace(self, pixel_max=self.full_ink)
        x = as_pixels(images.reshape(len(images), n_inputs))
        lowest, highest = (float(x.min()), float(x.max())) if x.size else (0.0, 0.0)
        model._check_scale(lowest, highest, pixel_max)
        if pixel_max is None:
            return model, x
        if model.pixel_ends[0] < 0 <= lowest:
            return model.scaled_alike(0.0, pixel_max), x
        return model.taking(pixel_max), x

    def _check_scale(self, lowest: float, highest: float, pixel_max: float | None) -> None:
        """Raise ValueError if pixels are not on the scale of ``pixel_max``, or of the training."""
        assert self.pixel_max is not None
        if pixel_max is not None and not 0 < pixel_max < math.inf:
            raise ValueError(f"pixel_max must be above 0 and finite, got {pixel_max}")
        top = max(highest, -lowest)
        full = pixel_max or self.pixel_max
        unit = 1 if top <= 1 else pixel_range(np.array([lowest, highest]))
        in_unit_range = pixel_max is None and 0 < top <= 1 and full > 2
        if top > 2 * full or in_unit_range:
            said = "pixel_max is" if pixel_max else "those of the training reach"
            raise ValueError(
                f"pixels reach {top:g} here, {said} {full:g}; give pixel_max={unit:g} if that is"
                " full ink in these images"
            )
        low, kind = self.pixel_ends[0], "pixels" if self.float_pixels else "bytes"
        if low < 0 <= lowest and top and pixel_max is None:
            raise ValueError(
                f"no pixel is below 0, but the network was trained on pixels from {low:g}; give"
                f" pixel_max={unit:g} if that is full ink in these images"
            )
        least = 0.0
        if self.float_pixels:  # paper may be a little below 0, and without data nobody knows
            least = -math.inf if self.data is None else -NEAR * full
        if low == 0 and lowest < least:
            raise ValueError(
                f"pixels go down to {lowest:g}, but the network was trained on {kind} from 0; give"
                " the images as they were before they were standardised"
            )


def _long_axes(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return a shape without its axes of length 1."""
    return tuple(size for size in shape if size != 1)


def image_shape(n_inputs: int, shape: Sequence[int] | None = None) -> tuple[int, ...]:
    """Return the shape of an image of so many pixels: the given one, or a square if possible.

    28 x 28 x 1, an image with a channel, is 28 x 28.

    Raises
    ------
    ValueError
        If the given shape has another number of pixels.
    """
    if shape is None:
        side = math.isqrt(n_inputs)
        return (side, side) if side * side == n_inputs else (n_inputs,)
    if min(shape, default=0) < 1 or math.prod(shape) != n_inputs:
        raise ValueError(
            f"images of {by(shape)} pixels do not fit a network with {n_inputs} inputs"
        )
    return tuple(map(int, _long_axes(tuple(shape)))) or (1,)
