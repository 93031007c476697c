"""The trained networks among which the page chooses."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ..models.model import Model
from ..pictures.readings import check_characters
from ..runs.folder import load_run


class Source(Protocol):
    """Where a model comes from: a run on disk, or a training that may still be going on."""

    @property
    def kind(self) -> str:
        """ "run" or "job"."""

    @property
    def name(self) -> str:
        """What the page calls it."""

    @property
    def model(self) -> Model | None:
        """The network as it is now; None before a training has begun."""

    @property
    def test_accuracy(self) -> float | None:
        """On the test images; None if it is not known."""


@dataclass(frozen=True, eq=False)
class SavedRun:
    """A run on disk; see :class:`Source`."""

    name: str
    model: Model
    test_accuracy: float | None
    kind: str = "run"


def load_runs(paths: Iterable[str | Path]) -> dict[str, SavedRun]:
    """Read runs, by the identifiers that requests name them by: "run-1" and so on.

    Raises
    ------
    FileNotFoundError, OSError
        If one cannot be read.
    ValueError
        If one is damaged, or its network does not read characters of 28 x 28 pixels.
    """
    return {f"run-{number}": _load(path) for number, path in enumerate(paths, 1)}


def _load(path: str | Path) -> SavedRun:
    run = load_run(path)
    try:
        check_characters(run.model)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    accuracy = run.summary.get("test_accuracy")
    if not isinstance(accuracy, int | float) or not 0 <= accuracy <= 1:
        accuracy = None
    return SavedRun(run.name, run.model, accuracy)


def describe(sources: Mapping[str, Source]) -> list[dict[str, Any]]:
    """Return what ``GET /api/models`` says of those that have a network."""
    return [
        _described(identifier, source, source.model)
        for identifier, source in sources.items()
        if source.model is not None
    ]


def _described(identifier: str, source: Source, model: Model) -> dict[str, Any]:
    return {
        "id": identifier,
        "name": source.name,
        "kind": source.kind,
        "layers": list(model.network.layer_sizes),
        "activation": model.network.activation,
        "image_shape": list(model.input_shape),
        "classes": list(model.class_names),
        "parameters": model.network.n_params,
        "test_accuracy": source.test_accuracy,
    }
