"""EMNIST and QMNIST, whose IDX files carry the names of their sets.

EMNIST (G. Cohen, S. Afshar, J. Tapson, A. van Schaik, "EMNIST: an extension of MNIST to
handwritten letters", 2017) comes as six sets in one folder, each with four files and a mapping from
its labels to characters. Its images are transposed; they are turned upright here. QMNIST
(C. Yadav, L. Bottou, "Cold case: the lost MNIST digits", 2019) has MNIST's training images again
and 60,000 test images; its labels are rows of eight numbers, of which the first is the digit.
"""

from collections.abc import Mapping
from pathlib import Path
from string import ascii_letters, ascii_uppercase, digits

from mnistcore.data.folder import find_files, found_in, read_files
from mnistcore.data.raw import DataError, DataNotFoundError, Part, RawData

_MERGED = digits + ascii_uppercase + "abdefghnqrt"  # letters whose cases differ in shape
_BY_CLASS = digits + ascii_uppercase + ascii_letters[:26]
# The characters of each set in the order of its labels, which count from 1 in that of letters.
_CHARACTERS = {
    "emnist-balanced": _MERGED,
    "emnist-byclass": _BY_CLASS,
    "emnist-bymerge": _MERGED,
    "emnist-digits": digits,
    "emnist-letters": ascii_uppercase,
    "emnist-mnist": digits,
    "qmnist": digits,
}
# Where the files lie: in the folder itself, torchvision's raw/, the published archive's gzip/.
_PLACES = ("", "raw", "gzip", "raw/gzip")
_ROOTS = ("", "EMNIST", "QMNIST")
_MAX_MAPPING_BYTES = 2**16
_CHUNK = 2000  # images that are transposed at a time


def recognises(path: Path) -> bool:
    """Whether a path names one of the sets, as FOLDER/emnist-letters, or a folder that has some."""
    try:
        return bool(_sets_in(path)) or _named(path) is not None
    except OSError:
        return False


def read(path: Path) -> RawData:
    """Read the only set in a folder, or the one that FOLDER/emnist-letters names.

    Raises
    ------
    DataNotFoundError
        A file is missing.
    DataError
        The folder holds several sets, or a file cannot be used.
    """
    folder, name = _named(path) or _only(path)
    files = find_files(folder, file_names(name), ("",))
    arrays = read_files(files)
    train = Part(arrays.train_images, arrays.train_labels)
    test = Part(arrays.test_images, arrays.test_labels)
    emnist = name.startswith("emnist")
    if emnist:
        train, test = _turned(train, files[0]), _turned(test, files[2])
    turned = ", turned upright" if emnist else ""
    names = characters(folder, name)
    return RawData(folder / name, f"{folder} ({name}{turned})", train, test, names, upright=True)


def file_names(name: str) -> tuple[str, ...]:
    """Return the names of a set's four files, in the order of :data:`.folder.FILE_NAMES`."""
    labels = "labels-idx2-int" if name == "qmnist" else "labels-idx1-ubyte"
    parts = ("train", "test")
    return tuple(
        f"{name}-{part}-{what}" for part in parts for what in ("images-idx3-ubyte", labels)
    )


def _sets_in(folder: Path) -> dict[str, Path]:
    """Return the sets that a folder holds a file of, with the folder of the files."""
    owner = {file: name for name in _CHARACTERS for file in file_names(name)}
    sets: dict[str, Path] = {}
    for root in _ROOTS:
        for place in _PLACES:
            for file in found_in(folder / root / place, owner):
                sets.setdefault(owner[file], folder / root / place)
    return sets


def _named(path: Path) -> tuple[Path, str] | None:
    """Return the folder and the set that a path such as FOLDER/emnist-letters names."""
    if path.exists() or path.name not in _CHARACTERS:
        return None
    folder = _sets_in(path.parent).get(path.name)
    return None if folder is None else (folder, path.name)


def _only(path: Path) -> tuple[Path, str]:
    sets = _sets_in(path)
    if len(sets) > 1:
        raise DataError(
            f"{path}: holds several sets; name one of"
            f" {', '.join(str(folder / name) for name, folder in sets.items())}"
        )
    if not sets:
        raise DataNotFoundError(f"{path}: holds no set of EMNIST or QMNIST")
    ((name, folder),) = sets.items()
    return folder, name


def _turned(part: Part, file: Path) -> Part:
    """Transpose images in place, without a second copy of all."""
    images = part.images
    if images.shape[1] != images.shape[2]:
        raise DataError(
            f"{file}: holds images of {images.shape[1]} x {images.shape[2]} pixels, but those of"
            " EMNIST are square; check that the file has the right name"
        )
    for start in range(0, len(images), _CHUNK):
        rows = images[start : start + _CHUNK]
        rows[...] = rows.transpose(0, 2, 1).copy()
    return part._replace(images=images)


def characters(folder: Path, name: str) -> Mapping[int, str]:
    """Return the characters of a set's labels, from its mapping file if it is in the folder.

    Empty if there is no set of this name.
    """
    if name not in _CHARACTERS:
        return {}
    published = dict(enumerate(_CHARACTERS[name], 1 if name == "emnist-letters" else 0))
    return _mapping(folder / f"{name}-mapping.txt") or published


def _mapping(path: Path) -> Mapping[int, str]:
    """Read a mapping file, with a label and the code of its character in each line.

    A second code, of the other case, may follow. Return an empty mapping if there is no file.

    Raises
    ------
    DataError
        The file cannot be read, or a line is malformed.
    """
    try:
        if not path.is_file():
            return {}
        with path.open("rb") as file:
            content = file.read(_MAX_MAPPING_BYTES + 1)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check it") from error
    if len(content) > _MAX_MAPPING_BYTES:
        raise DataError(f"{path}: is larger than {_MAX_MAPPING_BYTES} bytes; check the file")
    names: dict[int, str] = {}
    for number, line in enumerate(content.decode("latin-1").splitlines(), 1):
        if not line.strip():
            continue
        try:
            label, code, *_ = map(int, line.split())
            character = chr(code)
        except (ValueError, OverflowError):
            character = ""
        if not character.isprintable() or not character.strip():
            raise DataError(
                f"{path}: line {number} is {line[:30]!r}, where a label and the code of its"
                " character belong; correct it, or remove the file"
            )
        names[label] = character
    return names
