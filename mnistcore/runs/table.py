"""The predictions of a network for a table of pictures, as Kaggle takes them."""

import math
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np

from ..data.csv_file import is_transposed, recognises
from ..data.preprocess import ends_of
from ..data.table import read_table
from ..kernels.backends import get_ready_backend
from ..models.datasets import scaling_notice
from ..models.ensemble import Ensemble
from ..models.inference import NOT_FINITE
from ..models.model import Model
from ..system.errors import by
from ..system.text import csv_row


class TablePredictions(NamedTuple):
    """The name of each row (N,) and of the class predicted for it; `notices` are for the user."""

    header: tuple[str, str]
    rows: list[str]
    classes: list[str]
    notices: tuple[str, ...]

    def to_csv(self) -> str:
        """Return a header and a line per row."""
        pairs = zip(self.rows, self.classes, strict=True)
        return "".join(map(csv_row, (self.header, *pairs)))


def only_table(paths: Sequence[str]) -> Path | None:
    """Return the table among the files to predict; None if there is none.

    Raises
    ------
    ValueError
        If there is another file beside a table.
    """
    tables = [Path(path) for path in paths if not Path(path).is_dir() and recognises(Path(path))]
    if tables and len(paths) > 1:
        raise ValueError(f"{tables[0]}: is a table, which is predicted alone; give it by itself")
    return tables[0] if tables else None


def predict_table(
    model: Model | Ensemble, path: str | Path, backend: str = "auto"
) -> TablePredictions:
    """Predict the class of each row of a CSV file or another table of pictures.

    Rows are named as a column ``id`` or ``ImageId`` does, else counted from 1. Labels in the table
    are ignored. Pixels are on the scale of the table: bytes, or floats up to 1. The pictures of
    EMNIST's tables are turned upright, and those for a network that was trained with ``transpose``
    as its own were.

    Parameters
    ----------
    model : Model or Ensemble
    path : str or Path
        A table as :func:`.read_table` takes it.
    backend : str
        ``auto`` is cython if available, otherwise numpy; neither has to compile.

    Raises
    ------
    DataError
        If the table cannot be read.
    ValueError
        If its pictures differ in size from the model's, only some networks were trained with
        ``transpose``, or the outputs are not finite.
    BackendUnavailableError
        If the backend cannot be loaded.
    """
    path = Path(path)
    table = read_table(path)
    images, notices = table.images, list(table.notices)
    members = model.members if isinstance(model, Ensemble) else (model,)
    if is_transposed(path):
        images = images.transpose(0, 2, 1)
        notices.append(f"The pictures of {path} were turned upright, as those of EMNIST lie.")
    elif _learnt_transposed(members):
        images = images.transpose(0, 2, 1)
        notices.append(f"The pictures of {path} were transposed, as those of the training were.")
    if images[0].size != math.prod(model.input_shape):
        raise ValueError(
            f"{path}: holds pictures of {by(images.shape[1:])} pixels, the network takes"
            f" {by(model.input_shape)}"
        )
    if table.labels is not None:
        notices.append(f"The labels in {path} are not used; mnistcore evaluate scores them.")
    ends = ends_of(images)
    said = (scaling_notice(member, ends) for member in members)
    notices += filter(None, dict.fromkeys(said))
    ids = _classes(model.scaled_alike(*ends), get_ready_backend(backend), images)
    classes = [model.class_names[i] for i in ids]
    if table.ids is not None:
        return TablePredictions((table.id_name, "label"), table.ids, classes, tuple(notices))
    rows = [str(number) for number in range(1, len(ids) + 1)]
    return TablePredictions(("ImageId", "Label"), rows, classes, tuple(notices))


def _learnt_transposed(members: Sequence[Model]) -> bool:
    """Whether the networks were trained with ``transpose``; they must agree."""
    ways = {member.config.get("transpose") is True for member in members}
    if len(ways) > 1:
        raise ValueError(
            "some of the networks were trained with transpose; predict with each alone"
        )
    return ways.pop()


def _classes(model: Model | Ensemble, kernels: ModuleType, images: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore"):
        logits = model.logits(kernels, np.ascontiguousarray(images))
    if not np.isfinite(logits).all():
        raise ValueError(NOT_FINITE)
    return np.asarray(logits.argmax(axis=1))
