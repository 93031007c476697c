"""Published validation images: training images to us, as every run takes its own from these."""

import numpy as np

from mnistcore.data.preprocess import ends_and_ink, range_in_words, same_scale
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
    ends, dark = zip(*(ends_and_ink(part.images) for part in (validation, train)), strict=True)
    if not same_scale(*ends):
        here, there = (range_in_words(*one) for one in ends)
        raise DataError(
            f"{source}: has pixels {here} in its validation images, {there} in its training"
            " images; they must be on one scale"
        )
    if dark[0] != dark[1]:
        here, there = ("dark", "light") if dark[0] else ("light", "dark")
        raise DataError(
            f"{source}: has {here} ink in its validation images, {there} ink in its training"
            " images; invert one of them"
        )
    if train.labels.dtype.kind != validation.labels.dtype.kind:
        train, validation = (p._replace(labels=p.labels.astype(str)) for p in (train, validation))
    together = Part(*(np.concatenate(pair) for pair in zip(train, validation, strict=True)))
    one, several = f"validation image of {source} is", f"validation images of {source} are"
    return together, (
        f"{counted(len(validation.labels), one, several)} among the training images; a run takes"
        " its own validation images from them."
    )
