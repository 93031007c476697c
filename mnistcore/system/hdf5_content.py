"""The content of an HDF5 file as plain arrays, copied by a process of its own: see :mod:`.copying`.

The first array is a JSON text in bytes, an object; then come those of the file, in its order.

==========  ===================================================================================
names       the path of each array
bfloat16    the paths of those whose 16-bit integers are bfloat16
others      the paths of datasets that are not numbers
left_out    the names of optimizers' groups, whose arrays are not copied
attributes  the texts of groups, by path and by name; "" is the file
==========  ===================================================================================

Of a whole model of Keras only ``model_weights`` is copied.
"""

import json
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

from .copying import main, write

_OPTIMIZERS = ("optimizer", "optimizer_weights")
_WEIGHTS = "model_weights"
_DEEPEST, _MOST = 12, 10_000  # groups in groups; groups and arrays
_LONGEST_TEXT = 2**24
_LONGEST_INDEX = 2**27


def copy(source: str | BinaryIO, limit: int, least: int, into: BinaryIO) -> None:
    """Write the content of a file to ``into``, at most ``limit`` bytes of arrays.

    Each of their numbers counts at least ``least`` bytes.

    Raises
    ------
    ValueError
        If it has more, or points into other files.
    OSError, RuntimeError, KeyError, TypeError
        If it is damaged.
    """
    import h5py

    with h5py.File(source, "r") as file:
        whole = isinstance(file.get(_WEIGHTS, getlink=True), h5py.HardLink)
        objects: dict[str, Any] = {}
        for path, one in _objects(h5py, file[_WEIGHTS] if whole else file, "", 0):
            objects[path] = one
            if len(objects) > _MOST:
                raise ValueError(f"has more than {_MOST:,} groups and arrays")
        datasets = {path: one for path, one in objects.items() if isinstance(one, h5py.Dataset)}
        numbers = {path: one for path, one in datasets.items() if _is_numbers(one)}
        size = sum(int(one.size) * max(one.dtype.itemsize, least) for one in numbers.values())
        if size > limit:
            raise ValueError(f"holds {size:,} bytes of arrays; at most {limit:,} are read")
        groups = {path: one for path, one in objects.items() if path not in datasets}
        index: dict[str, Any] = {
            "names": list(numbers),
            "bfloat16": [path for path, one in numbers.items() if _is_bfloat16(one)],
            "others": [path for path in datasets if path not in numbers],
            "left_out": [name for name in _OPTIMIZERS if name in file],
            "attributes": {
                **{path: _texts(one.attrs) for path, one in groups.items()},
                "": {**(_texts(file[_WEIGHTS].attrs) if whole else {}), **_texts(file.attrs)},
            },
        }
        text = json.dumps(index).encode()
        if len(text) > _LONGEST_INDEX:
            raise ValueError("has names and attributes that are too long")
        write(np.frombuffer(text, np.uint8), into)
        for dataset in numbers.values():
            write(_array(dataset), into)


def _objects(h5py: Any, group: Any, prefix: str, depth: int) -> Iterator[tuple[str, Any]]:
    """Walk through groups and datasets of this file, without those of optimizers."""
    if depth > _DEEPEST or len(group) > _MOST:
        raise ValueError(f"has groups of more than {_MOST:,} arrays, or more than {_DEEPEST} deep")
    for name in group:
        path = prefix + name.replace("\\", "/")  # Keras 2.13 on Windows
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise ValueError(f"has a link at {path[:99]!r}; links are not followed")
        if path in _OPTIMIZERS:
            continue
        item = group[name]
        yield path, item
        if isinstance(item, h5py.Group):
            yield from _objects(h5py, item, f"{path}/", depth + 1)
        elif item.is_virtual or item.external:
            raise ValueError(f"has {path[:99]!r}, whose numbers lie in another file")


def _is_bfloat16(dataset: Any) -> bool:
    return bool(dataset.dtype.itemsize == 2 and dataset.attrs.get("dtype") == "bfloat16")


def _is_numbers(dataset: Any) -> bool:
    return dataset.shape is not None and (dataset.dtype.kind in "biuf" or _is_bfloat16(dataset))


def _array(dataset: Any) -> np.ndarray:
    array = np.asarray(dataset[()])
    return array.view("<u2") if _is_bfloat16(dataset) else array


def _texts(attributes: Any) -> dict[str, list[str]]:
    """Return the attributes that are texts or lists of texts."""
    found = {}
    for name in attributes:
        kind = attributes.get_id(name)
        if kind.dtype.kind in "SO" and int(np.prod(kind.shape)) * 64 < _LONGEST_TEXT:
            values = np.ravel(attributes[name])
            found[name] = [
                one.decode("utf-8", "replace") if isinstance(one, bytes) else str(one)
                for one in values
            ]
    return found


if __name__ == "__main__":
    main(copy, "HDF5")
