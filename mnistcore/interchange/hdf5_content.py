"""Copy the content of an HDF5 file to plain arrays and JSON: ``python hdf5_content.py FILE LIMIT``.

The HDF5 library may crash or never return on a damaged file, so :mod:`.from_hdf5` runs this as a
process of its own. It imports nothing of the package. ``FILE`` may be ``-`` for the content on
standard input; ``LIMIT`` is the most bytes of arrays in float64. The result on standard output is
an ``.npz`` of ``arr_0``, a JSON text in bytes, and the arrays ``arr_1``, ``arr_2`` ... in order:

==========  ===================================================================================
names       the path of each array
bfloat16    the paths of those whose 16-bit integers are bfloat16
others      the paths of datasets that are not numbers
left_out    the names of optimizers' groups, whose arrays are not copied
attributes  the texts of groups, by path and by name; "" is the file
==========  ===================================================================================

Of a whole model only ``model_weights`` is copied. Exit status 2 means that the file is refused,
for the reason on standard error.
"""

import io
import json
import sys
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

_OPTIMIZERS = ("optimizer", "optimizer_weights")
_WEIGHTS = "model_weights"
_DEEPEST, _MOST = 12, 10_000  # groups in groups; members of a group
_LONGEST_TEXT = 2**24


def copy(source: str | BinaryIO, limit: int) -> bytes:
    """Return the content of a file.

    Raises
    ------
    ValueError
        If it has more than ``limit`` bytes of arrays, or points into other files.
    OSError, RuntimeError, KeyError, TypeError
        If it is damaged.
    """
    import h5py

    with h5py.File(source, "r") as file:
        whole = isinstance(file.get(_WEIGHTS, getlink=True), h5py.HardLink)
        objects = dict(_objects(h5py, file[_WEIGHTS] if whole else file, "", 0))
        datasets = {path: one for path, one in objects.items() if isinstance(one, h5py.Dataset)}
        numbers = {path: one for path, one in datasets.items() if _is_numbers(one)}
        count = sum(dataset.size for dataset in numbers.values())
        if count > limit // 8:
            raise ValueError(f"holds {count:,} numbers; at most {limit // 8:,} are read")
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
        arrays = [_array(dataset) for dataset in numbers.values()]
    buffer = io.BytesIO()
    text = np.frombuffer(json.dumps(index).encode(), np.uint8)
    np.savez(buffer, text, *arrays)
    return buffer.getvalue()


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


def _main() -> int:
    try:
        name, limit = sys.argv[1:]
        source = io.BytesIO(sys.stdin.buffer.read()) if name == "-" else name
        sys.stdout.buffer.write(copy(source, int(limit)))
        return 0
    except (ValueError, OSError, RuntimeError, KeyError, TypeError, MemoryError) as error:
        reason = " ".join(str(error).split())
        known = type(error) is ValueError
        print(reason if known else f"is a damaged HDF5 file ({reason[:100]})", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(_main())
