"""Names of classes that data sets publish beside their files."""

from collections.abc import Mapping

HASHED_SHAPE = (60_000, 28, 28)  # the training images of all sets in `PUBLISHED`

# By the SHA-256 of the training images as a raw IDX file.
PUBLISHED: Mapping[str, Mapping[int, str]] = {}
