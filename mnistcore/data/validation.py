"""Published validation images: training images to us, as every run takes its own from these."""

import numpy as np

from mnistcore.data.preprocess import ends_of, has_dark_ink, range_in_words, same_scale
from mnistcore.data.raw import DataError, Part
from mnistcore.system.errors import by
from mnistcore.system.text import counted

WORDS = ("val", "valid", "validation", "dev")  # names of such a part


def with_validation(train: Part, validation: Part, source: str) -> tuple[Part, str]:
    """Return the training images with the validation images behind them, and a notice.

    Raises
    ------
    DataError
        If the two differ in size, in scale, or in whether their ink is dark.
    """
    sizes = [by(part.images.shape[1:]) for part in (validation, train)]
    if sizes[0] != sizes[1]:
        raise DataError(
            f"{source}: has validation images of {sizes[0]} pixels, training images of {sizes[1]};"
            " they must be the same"
        )
    ends = [ends_of(part.images) for part in (validation, train)]
    if not same_scale(*ends):
        here, there = (range_in_words(*one) for one in ends)
        raise DataError(
            f"{source}: has pixels {here} in its validation images, {there} in its training"
            " images; they must be on one scale"
        )
    dark = [has_dark_ink(part.images) for part in (validation, train)]
    if dark[0] != dark[1]:
        here, there = ("dark", "light") if dark[0] else ("light", "dark")
        raise DataError(
            f"{source}: has {here} ink in its validation images, {there} ink in its training"
            " images; invert one of them"
        )
    if train.labels.dtype.kind != validation.labels.dtype.kind:
        train, validation = (p._replace(labels=p.labels.astype(str)) for p in (train, validation))
    together = Part(*(np.concatenate(pair) for pair in zip(train, validation, strict=True)))
    count = counted(len(validation.labels), "validation image of", "validation images of")
    verb = "is" if len(validation.labels) == 1 else "are"
    return together, (
        f"{count} {source} {verb} among the training images; a run takes its own validation"
        " images from them."
    )
