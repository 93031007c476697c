"""SearchConfig, the options of a search, and Plan, a search that is checked as a whole."""

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ..kernels.threads import default_threads
from ..system.errors import did_you_mean, reason_of
from ..system.files import read_bounded
from ..system.text import parsed, spelled
from ..training.config import TrainConfig
from ..training.options import Option, Range, document_options, option, options_of
from .space import (
    DEFAULT_GRID,
    DEFAULT_SPACE,
    Point,
    Space,
    Value,
    label,
    parameters,
    read_entries,
    train_options,
)

SAMPLERS = ("tpe", "random", "grid")
PRUNERS = ("none", "successive-halving", "hyperband", "median")
DEFAULT_TRIALS = 20

# Options of train that the search itself sets.
OURS = ("output", "threads", "log", "checkpoint_every")


@document_options
@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """The options of a search, each checked on its own.

    Raises
    ------
    TypeError
        If a value is of the wrong kind.
    ValueError
        If it is out of range.
    """

    sampler: str = option(
        "tpe",
        str,
        "how points are chosen: by a model of the trials so far (TPE), at random, or as a grid",
        choices=SAMPLERS,
    )
    pruner: str | None = option(
        None,
        str,
        "how trials with a low validation accuracy are stopped early: below the median of the"
        " others at the same epoch, or by successive halving or Hyperband",
        choices=PRUNERS,
        optional=True,
        shown_default="median; none for a grid",
    )
    trials: int | None = option(
        None,
        int,
        "total number of finished trials in the study, including pruned ones",
        optional=True,
        limits=Range(1, 10**6),
        metavar="N",
        shown_default=f"{DEFAULT_TRIALS}, or the whole grid",
    )
    timeout: float | None = option(
        None,
        float,
        "start no new trials after this time; running trials are completed",
        optional=True,
        limits=Range(0, open_low=True),
        metavar="SECONDS",
        shown_default="no limit",
    )
    workers: int | None = option(
        None,
        int,
        "number of processes; each runs one trial at a time on its share of the cores",
        optional=True,
        limits=Range(1, 1024),
        metavar="N",
        shown_default="one per core",
    )
    threads: int = option(
        0,
        int,
        "threads to divide among workers; 0 is OMP_NUM_THREADS or one per core",
        limits=Range(0, 4096),
        metavar="N",
    )
    folds: int | None = option(
        None,
        int,
        "score a trial by its mean over K folds of the training images",
        optional=True,
        limits=Range(2, 1000),
        metavar="K",
        shown_default="one validation split",
    )
    grid_points: int | None = option(
        None,
        int,
        "number of values that a grid takes from each range",
        optional=True,
        limits=Range(2, 10**5),
        metavar="N",
        shown_default="none; each range must give its own points",
    )
    grace: int = option(
        60,
        int,
        "retry a trial after its worker has been silent for this long",
        limits=Range(2, 10**6),
        metavar="SECONDS",
    )
    study: str = option(
        "search", str, "name of the study; an existing study is resumed", metavar="NAME"
    )
    storage: str | None = option(
        None,
        str,
        "database of the study, such as postgresql://USER@HOST/NAME",
        optional=True,
        metavar="URL",
        shown_default="a SQLite file in the output folder",
    )
    output: str | None = option(
        None,
        str,
        "folder for the results",
        optional=True,
        metavar="DIR",
        shown_default="runs/ and the name of the study",
    )

    def __post_init__(self) -> None:
        for name, opt in options_of(SearchConfig).items():
            object.__setattr__(self, name, opt.checked(getattr(self, name), name))
        if self.study in (".", "..") or any(c in self.study for c in "/\\\0\n\r"):
            raise ValueError(f"study must be a plain name without slashes, got {self.study!r}")
        if self.grid_points is not None and self.sampler != "grid":
            raise ValueError(f"grid_points is for sampler grid, not {self.sampler}")
        if self.pruner is None:
            object.__setattr__(self, "pruner", "none" if self.sampler == "grid" else "median")

    @property
    def folder(self) -> Path:
        """The folder of the results."""
        return Path("runs", self.study) if self.output is None else Path(self.output)


@dataclass(frozen=True)
class Plan:
    """A search that has been checked as a whole.

    Attributes
    ----------
    config
        The options of the search.
    entries
        The search space as the user gave it; every worker parses it again.
    train
        The options of ``train`` that are the same in every trial.
    """

    config: SearchConfig
    entries: Mapping[str, Any]
    train: Mapping[str, Any]

    @cached_property
    def space(self) -> Space:
        """The parsed search space."""
        return Space(read_entries(self.entries)[0])

    @cached_property
    def grid(self) -> list[Point] | None:
        """The points of a grid search; None for the other samplers."""
        if self.config.sampler != "grid":
            return None
        return self.space.points(self.config.grid_points)

    @property
    def n_trials(self) -> int:
        """The number of finished trials that completes the search."""
        if self.grid is None:
            return self.config.trials or DEFAULT_TRIALS
        return min(self.config.trials or len(self.grid), len(self.grid))

    @cached_property
    def base(self) -> TrainConfig:
        """The options that all trials share, and those of one point of the space."""
        return self.train_config(self.space.corners()[0])

    @property
    def resource(self) -> int:
        """The most reports of a trial: one per fold or, without folds, one per epoch."""
        epochs = self.space.dimensions.get("epochs")
        if self.config.folds is not None:
            return self.config.folds
        return self.base.epochs if epochs is None else epochs.largest()

    @property
    def seed(self) -> int:
        """The seed of the sampler and of every training run."""
        return self.base.seed

    def train_config(self, point: Mapping[str, Value]) -> TrainConfig:
        """Return the training options of a point; ``output`` is left unset."""
        return TrainConfig(**{**self.train, **train_options(point)})

    @property
    def n_workers(self) -> int:
        """The number of processes; by default one per core, as single threads waste least."""
        cores = self.config.threads or default_threads()
        return self.config.workers or min(cores, self.n_trials)

    def settings(self) -> dict[str, Any]:
        """Return, for JSON, the settings that every command joining the study must share.

        The folders of the data and of teachers may differ between machines, so their content is
        compared instead.
        """
        same = ("sampler", "pruner", "folds", "grid_points")
        space = {name: _plain(entry) for name, entry in self.entries.items()}
        here = ("data", "data_dir", "transpose", "class_names", "teacher")
        train = {name: _plain(self.train[name]) for name in sorted(self.train) if name not in here}
        return {
            **{name: getattr(self.config, name) for name in same},
            "space": space,
            "train": train,
        }

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary for JSON, which :meth:`from_json` reads in another process."""
        values = dataclasses.asdict(self.config)
        return {"config": values, "entries": dict(self.entries), "train": dict(self.train)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Plan":
        """Return the plan that :meth:`to_json` has written."""
        return cls(SearchConfig(**values["config"]), values["entries"], values["train"])


def make_plan(
    config: SearchConfig, space: Mapping[str, Any] | None, train: Mapping[str, Any] | None
) -> Plan:
    """Check the search space together with the fixed options of ``train``.

    Raises
    ------
    TypeError, ValueError
        If an option cannot be searched or fixed, or the two contradict each other.
    """
    space, train = dict(space or {}), dict(train or {})
    options = options_of(TrainConfig)
    for name in train:
        if name not in options or name in OURS:
            raise ValueError(f"{name!r} is not an option of train that a search can fix")
        train[name] = options[name].checked(train[name], name)
    both = sorted(set(space) & set(train))
    if both:
        raise ValueError(f"{both[0]} is given both as searched and as fixed")
    searched, fixed = read_entries(space)
    train |= fixed
    entries = {name: space[name] for name in searched}
    entries = entries or _default_entries(config, train)
    plan = Plan(config, entries, train)
    for point in plan.space.corners():
        plan.train_config(point)
    if not plan.base.validation_fraction and config.folds is None:
        raise ValueError("a search needs validation: a validation_fraction above 0, or folds")
    plan.grid  # noqa: B018, which raises if a range does not say how many points it has
    return plan


def _default_entries(config: SearchConfig, train: Mapping[str, Any]) -> dict[str, Any]:
    """Return the default search space without the parameters that are fixed."""
    default = dict(DEFAULT_GRID if config.sampler == "grid" else DEFAULT_SPACE)
    if "hidden" in train:
        default.pop("layers", None)
        default.pop("units", None)
    if train.get("hidden") == ():
        for name in ("dropout", "activation", "batch_norm"):
            default.pop(name, None)
    left = {name: entry for name, entry in default.items() if name not in train}
    if not left:
        raise ValueError(f"nothing is left to search: {', '.join(train)} are fixed")
    return left


def read_file(path: str | Path) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Read and check the tables [search], [space] and [train] of a TOML file.

    Raises
    ------
    ValueError
        If it is not valid TOML or its content is not valid. The message begins with the path.
    OSError
        If it cannot be read.
    """
    path = Path(path)
    encoded = read_bounded(path)
    try:
        content = parsed(encoded.decode("utf-8-sig"), tomllib.loads)
    except ValueError as error:
        raise ValueError(f"{path}: is not valid TOML: {reason_of(error)}") from error
    fixable = {name: opt for name, opt in options_of(TrainConfig).items() if name not in OURS}
    tables = {"search": options_of(SearchConfig), "space": parameters(), "train": fixable}
    for name, table in content.items():
        if name not in tables or not isinstance(table, dict):
            raise ValueError(
                f"{path}: has {spelled(name)}; it may hold [search], [space] and [train]"
            )
    read = {name: dict(content.get(name, {})) for name in tables}
    try:
        for name in ("search", "train"):
            _check_table(read[name], tables[name], name)
        read_entries(read["space"])
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error
    return read["search"], read["space"], read["train"]


def _check_table(table: dict[str, Any], options: Mapping[str, Option], name: str) -> None:
    for key, value in table.items():
        if key not in options:
            hint = did_you_mean(key, options, "options")
            raise ValueError(f"unknown option {spelled(key)} in [{name}]; {hint}")
        table[key] = options[key].checked(value, key)


def _plain(entry: Any) -> Any:
    """Convert an entry for JSON: tuples to lists, and architectures to one spelling."""
    if isinstance(entry, Mapping):
        return dict(entry)
    if isinstance(entry, list | tuple):
        return [_plain(one) for one in entry]
    return label(entry)
