"""Reads the digits in a person's own pictures: ``mnistcore predict RUN IMAGE ...``."""

import csv
import glob
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, count, groupby
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from . import checkpoint
from .atomic import replacing
from .backends import BACKENDS, get_backend, unavailable_reason
from .checkpoint import Model
from .command_line import (
    BAD_INPUT,
    DONE,
    Parser,
    complain,
    error_words,
    run_command,
    user_errors,
)
from .pictures.files import FORMATS, SUFFIXES, Picture, PictureError, open_picture, picture_of
from .pictures.frame import SIZE
from .pictures.marks import NoDigitError
from .pictures.reading import Classify, Digit, SeveralDigitsError, read_digit, read_digits
from .run_folder import check_output

if TYPE_CHECKING:
    from argparse import Namespace

__all__ = ["Reading", "main", "predict_pictures", "run"]

STDIN = "-"
_DIGITS = tuple("0123456789")
_NOTABLE = 0.05  # a second choice is named from there on
Source = str | Path | bytes | BinaryIO | np.ndarray


@dataclass(frozen=True, eq=False)
class Reading:
    """What came of a picture.

    Attributes
    ----------
    path
        As it was given; a name such as ``<array>`` for what has none.
    digits
        Line by line, from left to right; empty where none was found. Without ``many`` at most
        one.
    reason
        Why there are no digits; empty where there are some.
    error
        Whether the picture could not even be opened.
    picture
        What was opened; None after an error.
    found
        How many digits there are; without ``many`` more than one are counted but not read.
    left_out
        With ``many``, how many marks were left out because they resemble no digit.
    """

    path: str
    digits: tuple[Digit, ...]
    reason: str = ""
    error: bool = False
    picture: Picture | None = None
    found: int = 0
    left_out: int = 0

    @property
    def digit(self) -> int | None:
        """The first digit, None where there is none."""
        return self.digits[0].digit if self.digits else None

    @property
    def probabilities(self) -> np.ndarray | None:
        """The ten probabilities of the first digit, None where there is none."""
        return self.digits[0].probabilities if self.digits else None

    @property
    def text(self) -> str:
        """The digits as they stand in the picture, a line break between lines."""
        lines = groupby(self.digits, key=lambda digit: digit.line)
        return "\n".join("".join(str(digit.digit) for digit in line) for _, line in lines)


def predict_pictures(
    run: str | Path | Model,
    pictures: Iterable[Source],
    many: bool = False,
    backend: str = "auto",
) -> Iterator[Reading]:
    """Read the digits in pictures.

    Parameters
    ----------
    run
        A run folder, a safetensors file of this package, or a loaded model; it must take images
        of 28 x 28 and know the ten digits.
    pictures
        Each a file, a folder (all pictures in it, by name), a pattern such as ``scans/*.png``,
        ``-`` for standard input, the bytes of a file, an open binary file, or an array (H, W) or
        (H, W, C) of grey or colours, of any numeric type; :func:`.picture_of` tells how its
        values are taken. A digit may be dark on light or light on dark, of
        any size and anywhere; :mod:`.pictures` tells how it is found.
    many
        Whether a picture may hold several digits, in lines; marks that resemble none are left
        out. Otherwise one is read, and where there are several alike their number is the answer,
        in ``found``.
    backend
        ``auto`` is cython where there is one and numpy otherwise: neither has to compile.

    Yields
    ------
    Reading
        One a picture, in order. A picture is opened when its turn comes; one that cannot be has
        ``error`` set and the others are still read.

    Raises
    ------
    FileNotFoundError, CheckpointError
        As :func:`.checkpoint.load`.
    ValueError
        If the network is not one for digits.
    BackendUnavailableError
        If the backend cannot be loaded.
    """
    if isinstance(pictures, str | bytes | Path | np.ndarray):
        raise TypeError("pictures must be a list; for a single one give [picture]")
    model = run if isinstance(run, Model) else checkpoint.load(run)
    _check(model)
    kernels = _kernels(backend)

    for_bytes = model.taking_bytes()  # as which digits are shown, whatever it was trained on

    def classify(images: np.ndarray) -> np.ndarray:
        return for_bytes.predict_proba(kernels, images)

    opened = _opened(pictures, model.pixel_max or 255.0)
    return (_read(name, opens, classify, many) for name, opens in opened)


run = predict_pictures  # as every command calls its function


def _check(model: Model) -> None:
    """See that a model can read digits."""
    n_inputs = model.network.layer_sizes[0]
    if n_inputs != SIZE * SIZE:
        raise ValueError(
            f"the network takes {n_inputs} inputs; digits are shown in {SIZE} x {SIZE} pixels,"
            f" so give one of {SIZE * SIZE}"
        )
    if model.class_names != _DIGITS:
        names = ", ".join(model.class_names[:4])
        raise ValueError(
            f"the network's classes are not the digits 0 to 9 but {names}, ..."
            f" ({len(model.class_names)} in all); predict reads digits, so give a network of these"
        )
    if not np.isfinite(model.params).all():
        raise ValueError("the network's weights are not all finite; train it again")


def _doubt(model: Model) -> str:
    """What must be known of the images that a model was trained on; "" where all is well."""
    if model.data is None or model.data.look in (None, "upright"):
        return ""
    looked = "like no digits that people write"
    if model.data.look != "no digits":
        looked = f"like digits that are {model.data.look}"
    return (
        f"The network was trained on {model.data.name}, whose images look {looked}; what it makes"
        " of pictures of digits is hardly right."
    )


def _kernels(backend: str) -> ModuleType:
    if backend == "auto":
        backend = "numpy" if unavailable_reason("cython") else "cython"
    return get_backend(backend)


Opening = Callable[[], Picture]


def _opened(sources: Iterable[Source], white: float) -> Iterator[tuple[str, Opening]]:
    """Each picture's name and how to open it; folders and patterns are spread out."""
    for source in sources:
        if isinstance(source, np.ndarray):
            yield "<array>", partial(picture_of, source, white)
        elif isinstance(source, bytes):
            yield "<bytes>", partial(open_picture, source)
        elif source == STDIN:
            yield STDIN, partial(open_picture, sys.stdin.buffer)
        elif isinstance(source, str | Path):
            for path, reason in _files(str(source)):
                yield path, partial(_open_file, path, reason)
        elif hasattr(source, "read"):
            yield str(getattr(source, "name", "<file>")), partial(open_picture, source)
        else:
            yield f"<{type(source).__name__}>", partial(_refuse, source)


def _refuse(source: object) -> Picture:
    raise PictureError(f"is no picture but {type(source).__name__}; give a file or an array")


def _files(source: str) -> list[tuple[str, str]]:
    """The files that an argument stands for, each with a reason why it cannot be opened or ""."""
    path = Path(source)
    try:
        if path.is_dir():
            there = sorted(path.iterdir())
            inside = [p for p in there if p.suffix.lower() in SUFFIXES and p.is_file()]
            none = (source, "there are no pictures in the folder")
            return [(str(p), "") for p in inside] or [none]
        if path.exists() or not glob.has_magic(source):
            return [(source, "")]
        found = sorted(p for p in glob.glob(source, recursive=True) if Path(p).is_file())
    except (OSError, ValueError) as error:  # a folder that is locked, a name that is none
        return [(source, error_words(error).removeprefix(f"{source}: "))]
    return [(p, "") for p in found] or [(source, "no file has such a name")]


def _open_file(path: str, reason: str) -> Picture:
    if reason:
        raise PictureError(reason)
    return open_picture(path)


def _read(name: str, opens: Opening, classify: Classify, many: bool) -> Reading:
    try:
        picture = opens()
    except (ValueError, TypeError, OSError, MemoryError) as error:
        return Reading(name, (), error_words(error).removeprefix(f"{name}: "), error=True)
    try:
        if many:
            digits, left_out = read_digits(picture, classify)
        else:
            digits, left_out = [read_digit(picture, classify)], 0
    except NoDigitError as error:
        found = error.found if isinstance(error, SeveralDigitsError) else 0
        return Reading(name, (), str(error), picture=picture, found=found)
    return Reading(name, tuple(digits), picture=picture, found=len(digits), left_out=left_out)


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    return run_command("predict", _main, argv)


def _main(argv: Sequence[str]) -> int:
    arguments = _parser().parse_args(argv)
    folder = None if arguments.pictures is None else Path(arguments.pictures)
    with user_errors():
        if folder is not None:
            check_output(arguments.pictures, "--pictures")
        model = checkpoint.load(arguments.run)
        readings = predict_pictures(model, arguments.images, arguments.many, arguments.backend)
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
    if doubt := _doubt(model):
        print(doubt, file=sys.stderr)
    output = _output(arguments)
    status = DONE
    for reading in readings:
        if reading.error:
            status = BAD_INPUT
            complain("predict", f"{reading.path}: {reading.reason}")
        output.add(reading)
        if folder is not None and reading.picture is not None:
            _write_sheet(folder, reading)
    output.end()
    return status


def _parser() -> Parser:
    parser = Parser("predict", "Read the digits in pictures: photographs, scans, drawings.")
    parser.add_argument("run", metavar="RUN", help="a run folder or its .safetensors file")
    parser.add_argument(
        "images",
        metavar="IMAGE",
        nargs="+",
        help="files, folders, patterns such as 'scans/*.png', or - for standard input;"
        f" {', '.join(FORMATS)}",
    )
    parser.add_argument(
        "--many",
        action="store_true",
        help="several digits in a picture, such as a phone number: found, split and read in lines",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument(
        "--show",
        action="store_true",
        help="draw each picture, what the network saw of it and the probabilities",
    )
    form.add_argument("--csv", action="store_true", help="print a table with a row per digit")
    form.add_argument("--json", action="store_true", help="print a list with an entry per picture")
    parser.add_argument(
        "--pictures",
        metavar="FOLDER",
        help="write what --show draws as PNG files into a new or an empty folder",
    )
    parser.add_argument(
        "--backend",
        choices=("auto", *BACKENDS),
        default="auto",
        help="auto is cython where there is one, otherwise numpy",
    )
    return parser


def _write_sheet(folder: Path, reading: Reading) -> None:
    """Write a picture's sheet under its name, with a number behind it where that is taken."""
    from .pictures.sheet import draw_sheet

    assert reading.picture is not None
    stem = "stdin" if reading.path == STDIN else Path(reading.path).stem
    names = chain([stem], (f"{stem}-{number}" for number in count(2)))
    path = next(path for name in names if not (path := folder / f"{name}.png").exists())
    with replacing(path) as file:
        draw_sheet(reading.picture, reading.digits, summary(reading)).save(file, "PNG")


class _Lines:
    """A line of text for each picture."""

    def add(self, reading: Reading) -> None:
        if not reading.error:
            print(f"{reading.path}: {summary(reading)}")

    def end(self) -> None:
        pass


class _Drawings:
    """Each picture drawn in the terminal."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(highlight=False)

    def add(self, reading: Reading) -> None:
        from rich.text import Text

        from .pictures.terminal import draw

        if reading.picture is not None:
            self._console.print(Text(f"{reading.path}: {summary(reading)}", style="bold"))
            self._console.print(draw(self._console, reading.picture, reading.digits))

    def end(self) -> None:
        pass


class _Json:
    """All pictures as one list."""

    def __init__(self, many: bool) -> None:
        self._many = many
        self._entries: list[dict[str, Any]] = []

    def add(self, reading: Reading) -> None:
        self._entries.append(as_dict(reading, self._many))

    def end(self) -> None:
        print(json.dumps(self._entries, indent=2))


class _Csv:
    """A row per digit, and one without a digit for a picture that has none."""

    def __init__(self, many: bool) -> None:
        self._many = many
        self._table = csv.writer(sys.stdout, lineterminator="\n")
        place = ("line", "left", "top", "right", "bottom") if many else ()
        self._columns = ("path", *place, "digit", *(f"p{digit}" for digit in range(10)))
        self._table.writerow(self._columns)

    def add(self, reading: Reading) -> None:
        for digit in reading.digits:
            place = (digit.line, *(f"{side:.0f}" for side in digit.box)) if self._many else ()
            chances = (f"{p:.6f}" for p in digit.probabilities)
            self._table.writerow((reading.path, *place, digit.digit, *chances))
        if not reading.digits:
            self._table.writerow((reading.path, *[""] * (len(self._columns) - 1)))

    def end(self) -> None:
        pass


def _output(arguments: "Namespace") -> _Lines | _Drawings | _Json | _Csv:
    if arguments.json:
        return _Json(arguments.many)
    if arguments.csv:
        return _Csv(arguments.many)
    return _Drawings() if arguments.show else _Lines()


def as_dict(reading: Reading, many: bool = False) -> dict[str, Any]:
    """A reading ready for JSON.

    Returns
    -------
    dict
        ``path``, ``digit`` and ``probabilities``, both None where no digit was read, and
        ``found``, how many there are; with ``many`` instead ``path``, ``text``, ``digits``, a
        list with ``digit``, ``probabilities``, ``box`` and ``line`` each, and ``left_out``.
        Where none was read also ``reason``.
    """
    entry: dict[str, Any] = {"path": reading.path}
    if many:
        entry["text"] = reading.text
        entry["digits"] = [
            _entry(digit) | {"box": [round(side, 1) for side in digit.box], "line": digit.line}
            for digit in reading.digits
        ]
        entry["left_out"] = reading.left_out
    else:
        entry |= _entry(reading.digits[0] if reading.digits else None) | {"found": reading.found}
    return entry | ({} if reading.digits else {"reason": reading.reason})


def _entry(digit: Digit | None) -> dict[str, Any]:
    if digit is None:
        return {"digit": None, "probabilities": None}
    return {"digit": digit.digit, "probabilities": [float(p) for p in digit.probabilities]}


def summary(reading: Reading) -> str:
    """A reading in a line: the digits and how sure they are, or why there are none."""
    if reading.found > 1 and not reading.digits:
        return f"{reading.found} digits found, none read: --many reads several"
    if not reading.digits:
        return f"no digit found: {reading.reason}"
    doubtful = min(reading.digits, key=lambda digit: float(digit.probabilities.max()))
    second, first = np.argsort(doubtful.probabilities)[-2:]
    words = _percent(doubtful.probabilities[first])
    if doubtful.probabilities[second] > _NOTABLE:
        words += f", or a {second}: {_percent(doubtful.probabilities[second])}"
    if len(reading.digits) > 1:
        place = f"digit {reading.digits.index(doubtful) + 1} of {len(reading.digits)}"
        words = f"least sure is {place}: {words}"
    if reading.left_out:
        marks = "1 mark that resembles" if reading.left_out == 1 else None
        words += f"; left out {marks or f'{reading.left_out} marks that resemble'} no digit"
    return f"{' / '.join(reading.text.splitlines())}  ({words})"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


if __name__ == "__main__":
    sys.exit(main())
