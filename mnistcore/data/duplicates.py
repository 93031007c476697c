"""Images that are there twice: a network that is trained on one has seen the other."""

import numpy as np

_NOTABLE = 0.01  # of the test images; a few of most published sets are training images too


def n_repeated(images: np.ndarray, others: np.ndarray) -> int:
    """Return how many of some images (N, H, W) are among others (M, H, W), pixel for pixel."""
    dtype = np.result_type(images, others)
    ours, theirs = (
        np.fromiter((hash(image.astype(dtype, copy=False).tobytes()) for image in each), np.int64)
        for each in (images, others)
    )
    return int(np.isin(ours, theirs).sum())


def repeated_notice(test: np.ndarray, train: np.ndarray, name: str) -> str:
    """Return a notice if more than a few test images are training images too, else ""."""
    count = n_repeated(test, train)
    if count <= _NOTABLE * len(test):
        return ""
    return (
        f"{count:,} of the {len(test):,} test images of {name} are training images too, so the"
        " accuracy on them says little about other images."
    )
