"""Pictures and labels of a Parquet file, copied by a process of its own: see :mod:`.copying`.

The first array is a JSON text in bytes, an object of ``columns``, the names of all, and ``names``,
what Hugging Face's metadata says of the labels. Then come three arrays for each batch of rows: the
length of each picture in bytes, -1 for none; the bytes of all; and the labels as a JSON text, a
list of numbers and texts, null for what is neither. Without the columns there are no batches.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import numpy as np

from .copying import main, write
from .text import parsed

IMAGES, LABELS = ("image", "img"), ("label", "labels", "class", "target", "fine_label")
_BATCH = 256  # rows that are unpacked at a time
_OF_A_ROW = 1000  # bytes that a row counts at least
_LONGEST_NAME, _MOST_NAMES = 1000, 100_000


def copy(source: str | BinaryIO, limit: int, into: BinaryIO) -> None:
    """Write pictures and labels to ``into``, at most ``limit`` bytes of them.

    Raises
    ------
    ValueError
        If there are more.
    BaseException
        If the file is damaged: the reader has classes of its own, one of them no Exception.
    """
    from arro3.io import read_parquet

    reader = read_parquet(source, batch_size=_BATCH)
    columns = list(reader.schema.names)
    image, label = (next((n for n in known if n in columns), "") for known in (IMAGES, LABELS))
    names = _names(reader.schema.metadata_str, label)
    _write_json({"columns": [name[:_LONGEST_NAME] for name in columns], "names": names}, into)
    if not image or not label:
        return
    size = 0
    for batch in reader:
        pictures: list[bytes | None] = []
        labels: list[int | str | None] = []
        for picture, own in _rows(batch, image, label):
            pictures.append(picture)
            labels.append(own)
            size += max(len(picture or b"") + len(str(own)), _OF_A_ROW)
            if size > limit:
                raise ValueError(f"holds more than the {limit:,} bytes of pictures that are read")
        lengths = [-1 if picture is None else len(picture) for picture in pictures]
        write(np.array(lengths, np.int64), into)
        write(np.frombuffer(b"".join(filter(None, pictures)), np.uint8), into)
        _write_json(labels, into)


def _rows(batch: Any, image: str, label: str) -> Iterator[tuple[bytes | None, int | str | None]]:
    """Yield the picture and the label of each row, None for what cannot be one."""
    for picture, own in zip(batch.column(image), batch.column(label), strict=True):
        content, value = picture.as_py(), own.as_py()
        content = content.get("bytes") if isinstance(content, Mapping) else content
        yield (
            content if isinstance(content, bytes) else None,
            value if isinstance(value, int | str) else None,
        )


def _names(metadata: Mapping[str, str], label: str) -> list[str]:
    """Return the names of the labels that Hugging Face's metadata gives, if any."""
    try:
        names = parsed(metadata["huggingface"])["info"]["features"][label]["names"]
        return [str(name)[:_LONGEST_NAME] for name in names][:_MOST_NAMES]
    except (KeyError, TypeError, ValueError):
        return []


def _write_json(value: Any, into: BinaryIO) -> None:
    write(np.frombuffer(json.dumps(value).encode(), np.uint8), into)


if __name__ == "__main__":
    main(copy, "Parquet")
