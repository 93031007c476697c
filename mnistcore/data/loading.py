"""Load a data set by its name or its path."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from mnistcore.data import folder
from mnistcore.data.classes import RESERVED
from mnistcore.data.dataset import DIGITS, Dataset, checksum_of, dataset_of, join, with_known
from mnistcore.data.formats import is_data, is_recognised, read_data
from mnistcore.data.mnist import MNIST, Found, MnistFinder
from mnistcore.data.raw import DataError, DataNotFoundError
from mnistcore.system.cache import cache_folder


def load_data(
    data: str | Path = "auto",
    data_dir: str | Path | None = None,
    progress: bool = False,
    *,
    transpose: bool = False,
    class_names: Sequence[str] = (),
    mirrors: Sequence[str] = MNIST.mirrors,
) -> Dataset:
    """Load a data set.

    Parameters
    ----------
    data : str or Path
        ``mnist`` looks in `data_dir`, else in ``$MNISTCORE_DATA_DIR``, else in ``./data``, the
        cache and on the mirrors. ``auto`` looks in the same places but also accepts other data
        that a folder holds, and falls back to the built-in digits, with a `notice`, unless a
        folder was named. ``synthetic`` is the built-in digits. Anything else is the path of a
        folder or file in one of :data:`.formats.FORMATS`. Several of these (except ``auto``) can
        be joined with ``+``, as in ``mnist+synthetic``: training uses the training images of all,
        while validation and test images come from the first, whose classes include the others'.
    data_dir : str or Path, optional
        The folder that holds MNIST.
    progress : bool
        Show the progress of a download on standard error.
    transpose : bool
        Swap rows and columns of each image that a path gives. MNIST, the built-in digits and data
        whose format says how it lies are upright.
    class_names : sequence of str
        A name for each class, in the order of the labels, or for each integer label from 0 on; by
        default those that the data publishes, else the labels.
    mirrors : sequence of str
        Addresses of folders to download MNIST from, tried in turn.

    Returns
    -------
    Dataset

    Raises
    ------
    DataNotFoundError
        A named folder does not exist or lacks a file, or MNIST was requested but found nowhere.
        A subclass of FileNotFoundError and ValueError.
    DataError
        A file is malformed, the files do not match each other, or they are not MNIST although it
        was requested. A subclass of ValueError.
    ValueError
        `data_dir` or `transpose` is given with `data` that does not use it, the names do not fit
        the classes, or the sets cannot be joined.
    TypeError
        `data` is neither a str nor a Path.

    Examples
    --------
    >>> import mnistcore
    >>> digits = mnistcore.load_data("synthetic")
    >>> digits.train_images.shape, digits.train_images.dtype
    ((60000, 28, 28), dtype('uint8'))
    >>> digits.class_names[digits.test_labels[0]]
    '7'
    """
    if not isinstance(data, str | Path):
        raise TypeError(f"data is {data!r}; it must be auto, mnist, synthetic or a path")
    parts = _parts(data)
    if data_dir is not None and not {"auto", "mnist"} & set(parts):
        raise ValueError(f"data_dir is for data auto or mnist; leave it out with data {data}")
    options = _Options(transpose, tuple(class_names), progress, tuple(mirrors))
    datasets = [_one(part, data_dir, options) for part in parts]
    if transpose and all(dataset.name in RESERVED for dataset in datasets):
        known = {"mnist": "MNIST is", "synthetic": "the built-in digits are"}[datasets[0].name]
        raise ValueError(f"{known} upright; leave transpose out")
    return join(datasets) if len(datasets) > 1 else datasets[0]


class _Options(NamedTuple):
    """The options of `load_data` that concern every part of a sum."""

    transpose: bool
    class_names: tuple[str, ...]
    progress: bool
    mirrors: tuple[str, ...]


def _one(data: str, data_dir: str | Path | None, options: _Options) -> Dataset:
    """Load one data set by its name or path."""
    if data == "synthetic":
        return _built_in_digits(options)
    finder = MnistFinder(cache_folder())
    if data not in RESERVED:
        return _from_path(finder, Path(os.path.expanduser(data)), options)
    found = _named_folder(finder, data_dir)
    insist = data == "mnist"
    try:
        found = found or finder.anywhere(options.mirrors, insist=insist, progress=options.progress)
    except DataNotFoundError as error:
        if insist:
            raise
        return _built_in_digits(options, notice=_stand_in_notice(error))
    return _dataset(_only_mnist(found) if insist else found, options)


def absolute(data: str | Path) -> str:
    """Return `data` as `load_data` takes it, with paths made absolute."""
    parts = (
        part if part in RESERVED else os.path.abspath(os.path.expanduser(part))
        for part in _parts(data)
    )
    return "+".join(parts)


def _parts(data: str | Path) -> list[str]:
    """Split `data` at "+" into names and paths; a path may hold a "+" itself."""
    parts = str(data).split("+")
    if len(parts) == 1 or is_data(Path(os.path.expanduser(data))):
        return [str(data)]
    places = {
        part if part in RESERVED else os.path.realpath(os.path.expanduser(part)) for part in parts
    }
    if "" in parts or "auto" in parts or len(places) < len(parts):
        raise ValueError(
            f"data is {data}; join sets as in mnist+synthetic, each by its name or path and only"
            " once; auto cannot be joined"
        )
    return parts


def _only_mnist(found: Found) -> Found:
    if found.differs is not None:
        raise DataError(
            f"{found.differs}: is not MNIST's (its SHA-256 differs); "
            f"give data {found.differs.parent} to use it as it is"
        )
    return found


def _named_folder(finder: MnistFinder, data_dir: str | Path | None) -> Found | None:
    """Read the folder that the argument or the environment names; None if neither does."""
    named = data_dir if data_dir is not None else os.environ.get("MNISTCORE_DATA_DIR")
    if data_dir is None and not named:
        return None
    path = Path(os.path.expanduser(named or ""))
    try:
        return finder.in_folder(path)
    except DataNotFoundError as error:
        words = str(error)
        if is_recognised(path) and not folder.recognises(path):
            words = f"{path}: holds no MNIST but other data; give data {path} to use that"
        if data_dir is None:
            words = f"$MNISTCORE_DATA_DIR: {words}"
        raise DataNotFoundError(words) from error


def _from_path(finder: MnistFinder, path: Path, options: _Options) -> Dataset:
    try:
        if folder.recognises(path):  # which may be MNIST's
            return _dataset(finder.in_folder(path), options)
        raw = read_data(path)
    except DataNotFoundError as error:
        if is_data(path):
            raise
        raise DataNotFoundError(f"{error}, or give data auto, mnist or synthetic") from error
    return dataset_of(raw, transpose=options.transpose, class_names=options.class_names)


def _dataset(found: Found, options: _Options) -> Dataset:
    """Make a data set of four IDX files."""
    if found.differs is None:
        return _known(MNIST.name, found, options)
    raw = folder.raw_data(found.arrays, found.differs.parent, found.source)
    return dataset_of(
        raw,
        transpose=options.transpose,
        class_names=options.class_names,
        sha256=found.sha256,
    )


def _built_in_digits(options: _Options, notice: str | None = None) -> Dataset:
    """Return the built-in digits from the cache; they are drawn on first use."""
    from mnistcore.data.synthetic import cached_sha256, load_synthetic

    cache = cache_folder()
    arrays = load_synthetic(cache)
    found = Found(arrays, "built-in digits, drawn by program", sha256=cached_sha256(cache))
    return _known("synthetic", found, options, notice)


def _known(name: str, found: Found, options: _Options, notice: str | None = None) -> Dataset:
    """Make a data set of digits that are known to be sound and need not be examined again."""
    names = options.class_names or DIGITS
    dataset = Dataset(name, *found.arrays, names, found.source, notice)
    with_known(dataset, looks=("upright", "upright"), remarks=())
    if found.sha256:
        with_known(dataset, checksum=checksum_of(found.sha256))
    return dataset


def _stand_in_notice(error: DataNotFoundError) -> str:
    return (
        f"{error}\n"
        "This run uses the built-in digits instead, which a program draws. Accuracies on these "
        "digits are not accuracies on MNIST."
    )
