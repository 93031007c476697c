"""The options that every command takes which reads a data set."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..data import Dataset, load_data, read_class_names
from ..data.formats import known_formats
from ..models.datasets import own_data
from ..models.model import Model
from .options import option, options_of

_DATA = f"mnist, synthetic, or a file or folder: {known_formats()}"
_TRANSPOSE = "swap rows and columns of the images, as EMNIST's files need if renamed"


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """The data set of a command.

    ``class_names`` may be the name of a file, whose lines it then becomes.

    Raises
    ------
    TypeError, ValueError
        If a value is of the wrong kind or out of range, or the file of names cannot be used.
    """

    data: str | None = option(
        "auto",
        str,
        f"auto, {_DATA}; auto is MNIST, or the built-in digits if MNIST is unavailable; names"
        " joined by + train on several sets, and validate and test on the first",
        metavar="DATA",
    )
    data_dir: str | None = option(
        None, str, "folder to take MNIST from", optional=True, metavar="DIR"
    )
    transpose: bool | None = option(False, bool, _TRANSPOSE)
    class_names: Sequence[str] = option(
        (),
        str,
        "names of the classes in the order of their labels, or a file with one in each line",
        many=True,
        empty="auto",
        metavar="NAME",
        shown_default="those published with the data, else the labels",
    )

    def __post_init__(self) -> None:
        for name, opt in options_of(type(self)).items():
            object.__setattr__(self, name, opt.checked(getattr(self, name), name))
        object.__setattr__(self, "class_names", read_class_names(self.class_names))

    def load(self, progress: bool = False, **settings: Any) -> Dataset:
        """Load the data set.

        ``settings`` are further options of :func:`.data.load_data`, whose errors this raises.
        """
        return load_data(
            self.data or "auto",
            self.data_dir,
            progress,
            transpose=bool(self.transpose),
            class_names=self.class_names,
            **settings,
        )


@dataclass(frozen=True, kw_only=True)
class RunDataOptions(DataOptions):
    """The data set of a command that takes a run: by default the one it was trained on."""

    data: str | None = option(
        None,
        str,
        _DATA,
        optional=True,
        metavar="DATA",
        shown_default="what the run was trained on",
    )
    transpose: bool | None = option(
        None, bool, _TRANSPOSE, optional=True, shown_default="as in the run; off with --data"
    )

    def load_or_own(self, model: Model, name: object = None, **settings: Any) -> Dataset:
        """Load the data set that is named or, if none is, the one that a model was trained on.

        Data that is named is read without the transposition and the names that the training had.
        ``name`` is that of the data in the run's summary; ``settings`` are as in :meth:`load`.
        """
        if self.data is not None or self.data_dir is not None:
            return self.load(**settings)
        return own_data(
            model, name, transpose=self.transpose, class_names=self.class_names, **settings
        )
