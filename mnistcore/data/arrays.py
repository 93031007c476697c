"""Images and labels as people hold them in Python, each kind by a stated rule."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from mnistcore.data.picture import check_ink, grey
from mnistcore.data.preprocess import as_pixels
from mnistcore.data.raw import MAX_IMAGES, Part, RawData
from mnistcore.system.errors import by, reason_of

_COLOURS = (3, 4)


def images_of(x: Any, name: str = "x") -> np.ndarray:
    """Return images as (N, H, W) of uint8 or float32.

    Parameters
    ----------
    x : array_like
        Booleans, integers or floats, as an array, a tensor on the CPU, a pandas frame, a SciPy
        sparse matrix, nested lists or a list of PIL images (which become grey). Shapes are
        (N, H, W); (N, H, W, 1) or (N, 1, H, W); or (N, H * W), which must be a square. Values
        stay what they are: integers of 0..255 as uint8, others as float32.
    name : str
        Name used in error messages.

    Raises
    ------
    TypeError
        If the values are no real numbers.
    ValueError
        If the shape is another, images differ in size, or a value is not finite.
    """
    array = _array(_without_pictures(x, name), name)
    if array.dtype.kind not in "buif":
        what = "Python objects" if array.dtype == object else str(array.dtype)
        raise TypeError(f"{name} holds {what}; convert them to numbers or booleans with astype")
    shape = array.shape
    if array.ndim == 4 and 1 in (shape[1], shape[3]):
        array = array[:, 0] if shape[1] == 1 else array[..., 0]
    elif array.ndim == 4:
        colour = shape[1] in _COLOURS or shape[3] in _COLOURS
        hint = "; convert the colours to grey" if colour else ""
        raise ValueError(f"{name} has shape {shape}; images are (N, H, W){hint}")
    elif array.ndim == 2:
        side = math.isqrt(shape[1])
        if side * side != shape[1] or not side:
            raise ValueError(
                f"{name} has shape {shape}; {shape[1]} pixels are no square, so reshape it to"
                " (N, H, W)"
            )
        array = array.reshape(-1, side, side)
    elif array.ndim != 3:
        raise ValueError(f"{name} has shape {shape}; it must be (N, H, W) or (N, H * W)")
    if not array.size:
        raise ValueError(f"{name} has shape {shape}; it holds no pixels")
    return as_pixels(array, name)


def labels_of(y: Any, name: str = "y") -> np.ndarray:
    """Return labels (N,) as int64, or as str for names of classes.

    Parameters
    ----------
    y : array_like
        Whole numbers of any type, booleans or names, of shape (N,) or (N, 1), or one-hot rows
        (N, C) with a single 1 each, whose labels are the columns' numbers.
    name : str
        Name used in error messages.

    Raises
    ------
    TypeError
        If the labels are neither numbers nor names.
    ValueError
        If a number is not whole, a label is missing, or the shape is another.
    """
    array = _array(y, name)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.dtype == object and array.ndim == 1:
        array = _names(array, name)
    if array.dtype.kind not in "buifUT":
        raise TypeError(f"{name} holds {array.dtype}; labels are whole numbers or names of classes")
    if array.ndim == 2 and array.dtype.kind in "buif" and array.shape[1] > 1:
        if not (((array == 0) | (array == 1)).all() and (array.sum(axis=1) == 1).all()):
            raise ValueError(
                f"{name} has shape {array.shape}; labels are (N,), or one-hot rows with a single 1"
            )
        return array.argmax(axis=1).astype(np.int64)
    if array.ndim != 1:
        raise ValueError(f"{name} has shape {array.shape}; labels are (N,)")
    if array.dtype.kind in "UT":
        return array.astype(np.str_)
    if array.dtype.kind == "f":
        strange = ~(np.isfinite(array) & (array == np.rint(array)) & (np.abs(array) < 2.0**31))
        if strange.any():
            row = int(strange.argmax())
            raise ValueError(f"{name}[{row}] is {array[row]}; labels are whole numbers or names")
    if array.dtype.kind == "u" and array.size and array.max() > np.iinfo(np.int64).max:
        raise ValueError(f"{name} holds {array.max()}; labels are below 2**63")
    return array.astype(np.int64)


def part_of(x: Any, y: Any, names: tuple[str, str] = ("x", "y")) -> Part:
    """Return images and as many labels; see `images_of` and `labels_of` for what each may be."""
    for values, name in zip((x, y), names, strict=True):
        if hasattr(values, "shape") and len(values.shape) and values.shape[0] > MAX_IMAGES:
            raise ValueError(f"{name} holds {values.shape[0]:,}; at most {MAX_IMAGES:,} are read")
    images, labels = images_of(x, names[0]), labels_of(y, names[1])
    if len(images) != len(labels):
        raise ValueError(
            f"{names[0]} holds {len(images)} images, {names[1]} {len(labels)} labels; they must be"
            " as many"
        )
    return Part(images, labels)


def from_arrays(
    x: Any,
    y: Any,
    x_test: Any = None,
    y_test: Any = None,
    *,
    name: str = "arrays",
) -> RawData:
    """Return what arrays hold as a format would; :meth:`.Dataset.from_arrays` documents it.

    Raises
    ------
    TypeError
        If images or labels are of a wrong kind.
    ValueError
        If a shape or a value is wrong, or one of `x_test` and `y_test` is missing.
    """
    if (x_test is None) != (y_test is None):
        missing = "x_test" if x_test is None else "y_test"
        raise ValueError(f"{missing} is missing; give x_test and y_test, or neither")
    train = part_of(x, y)
    test = None if x_test is None else part_of(x_test, y_test, ("x_test", "y_test"))
    if test is not None and test.images.shape[1:] != train.images.shape[1:]:
        raise ValueError(
            f"x_test has images of {by(test.images.shape[1:])} pixels, x of"
            f" {by(train.images.shape[1:])}; they must be the same"
        )
    return RawData(Path(name), "arrays", train, test)


def _array(values: Any, name: str) -> np.ndarray:
    """Return anything array-like as an array; see the tensors' and frames' own ``__array__``."""
    if hasattr(values, "toarray"):  # a SciPy sparse matrix
        values = values.toarray()
    if np.ma.is_masked(values):
        raise ValueError(f"{name} has masked values; fill them in, or leave their rows out")
    if hasattr(values, "detach"):  # a tensor that records gradients is no array yet
        values = values.detach()
    try:
        return np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:
        reason = reason_of(error)
        raise ValueError(
            f"{name} is no array of equal rows ({reason}); give an array or lists of one length"
        ) from None


def _without_pictures(x: Any, name: str) -> Any:
    """Return PIL images in a list as grey arrays, anything else as it is."""
    if not isinstance(x, list | tuple) or not x or not hasattr(x[0], "convert"):
        return x
    sizes = dict.fromkeys(picture.size for picture in x)
    if len(sizes) > 1:
        one, other = list(sizes)[:2]
        raise ValueError(f"{name} holds images of {by(one)} and {by(other)} pixels; resize them")
    read = np.stack([grey(f"{name}[{i}]", picture.copy()) for i, picture in enumerate(x)])
    check_ink(read, name)
    return read


def _names(array: np.ndarray, name: str) -> np.ndarray:
    """Return an array of Python objects as one of str or int64; pandas keeps names so."""
    if all(isinstance(value, str) for value in array):
        return array.astype(np.str_)
    if all(isinstance(value, int | np.integer) for value in array):
        return array.astype(np.int64)
    row = next(
        i
        for i, v in enumerate(array)
        if not isinstance(v, type(array[0])) or not isinstance(v, str)
    )
    raise TypeError(
        f"{name}[{row}] is {array[row]!r}; labels are whole numbers or names, all of one kind"
    )
