"""SearchConfig: the options of a search; Plan: what follows from them, checked as a whole."""

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ..kernels.threads import available_cores
from ..training.config import TrainConfig
from ..training.options import Range, option, options_of
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

# Options of train that a search sets itself.
OURS = ("output", "threads")


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """The options of a search, checked one by one.

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
        "how points are chosen: by a model of the trials so far (TPE), at random, all of a grid",
        choices=SAMPLERS,
    )
    pruner: str | None = option(
        None,
        str,
        "which trials are ended early by their validation accuracy: those below the median of the"
        " others at the same epoch, or those that successive halving or Hyperband leave out",
        choices=PRUNERS,
        optional=True,
        shown_default="median; none for a grid",
    )
    trials: int | None = option(
        None,
        int,
        "finished trials that the study is to have in all, pruned ones included",
        optional=True,
        limits=Range(1, 10**6),
        metavar="N",
        shown_default=f"{DEFAULT_TRIALS}, or the whole grid",
    )
    timeout: float | None = option(
        None,
        float,
        "start no trial after so many seconds; those that run are finished",
        optional=True,
        limits=Range(0, open_low=True),
        metavar="SECONDS",
        shown_default="no limit",
    )
    workers: int | None = option(
        None,
        int,
        "processes, each with a trial of its own and its share of the cores",
        optional=True,
        limits=Range(1, 1024),
        metavar="N",
        shown_default="one per core",
    )
    threads: int = option(
        0, int, "cores to share out; 0 is all of them", limits=Range(0, 4096), metavar="N"
    )
    folds: int | None = option(
        None,
        int,
        "judge a trial by the mean over K folds of the training images",
        optional=True,
        limits=Range(2, 1000),
        metavar="K",
        shown_default="by one validation split",
    )
    grid_points: int | None = option(
        None,
        int,
        "values that a grid takes from each range",
        optional=True,
        limits=Range(2, 10**5),
        metavar="N",
        shown_default="none: ranges need points of their own",
    )
    grace: int = option(
        60,
        int,
        "try a trial again whose worker has given no sign of life for so many seconds",
        limits=Range(2, 10**6),
        metavar="SECONDS",
    )
    study: str = option(
        "search", str, "name of the study; the same name goes on with it", metavar="NAME"
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
        """Where the results go."""
        return Path("runs", self.study) if self.output is None else Path(self.output)


@dataclass(frozen=True)
class Plan:
    """A search that has been checked as a whole.

    Attributes
    ----------
    config
        Its options.
    entries
        What is searched, as it was given: it is read again by every worker.
    train
        The options of ``train`` that are the same in every trial.
    """

    config: SearchConfig
    entries: Mapping[str, Any]
    train: Mapping[str, Any]

    @cached_property
    def space(self) -> Space:
        """What is searched."""
        return Space(read_entries(self.entries)[0])

    @cached_property
    def grid(self) -> list[Point] | None:
        """The points of a grid search; None for the other samplers."""
        if self.config.sampler != "grid":
            return None
        return self.space.points(self.config.grid_points)

    @property
    def n_trials(self) -> int:
        """How many finished trials make the search complete."""
        if self.grid is None:
            return self.config.trials or DEFAULT_TRIALS
        return min(self.config.trials or len(self.grid), len(self.grid))

    @property
    def resource(self) -> int:
        """How often a trial reports, at most: after every fold or, without folds, every epoch."""
        epochs = self.space.dimensions.get("epochs")
        if self.config.folds is not None:
            return self.config.folds
        return self.train_config({}).epochs if epochs is None else epochs.largest()

    @property
    def seed(self) -> int:
        """Of the points that are chosen, and of every training run."""
        return self.train_config({}).seed

    def train_config(self, point: Mapping[str, Value]) -> TrainConfig:
        """The training run that a point stands for; its ``output`` is left open."""
        return TrainConfig(**{**self.train, **train_options(point)})

    @property
    def n_workers(self) -> int:
        """How many processes: by default one per core, as one thread each wastes least."""
        cores = self.config.threads or available_cores()
        return self.config.workers or min(cores, self.n_trials)

    def settings(self) -> dict[str, Any]:
        """What must be the same for every command that joins the study, ready for JSON.

        The folder of the data may differ from machine to machine; its content is compared.
        """
        same = ("sampler", "pruner", "folds", "grid_points")
        space = {name: _plain(entry) for name, entry in self.entries.items()}
        here = ("data", "data_dir")
        train = {name: _plain(self.train[name]) for name in sorted(self.train) if name not in here}
        return {
            **{name: getattr(self.config, name) for name in same},
            "space": space,
            "train": train,
        }

    def to_json(self) -> dict[str, Any]:
        """The plan for :meth:`from_json`, in another process."""
        values = dataclasses.asdict(self.config)
        return {"config": values, "entries": dict(self.entries), "train": dict(self.train)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Plan":
        """The plan that :meth:`to_json` was called on."""
        return cls(SearchConfig(**values["config"]), values["entries"], values["train"])


def make_plan(
    config: SearchConfig, space: Mapping[str, Any] | None, train: Mapping[str, Any] | None
) -> Plan:
    """Check what is searched together with the options of ``train`` that are fixed.

    Raises
    ------
    TypeError, ValueError
        If something is none that can be searched or trained, or the two contradict each other.
    """
    space, train = dict(space or {}), dict(train or {})
    for name in train:
        if name not in options_of(TrainConfig) or name in OURS:
            raise ValueError(f"{name!r} is no option of train that a search could fix")
    both = sorted(set(space) & set(train))
    if both:
        raise ValueError(f"{both[0]} is given both as searched and as fixed")
    searched, fixed = read_entries(space)
    train |= fixed
    entries = {name: space[name] for name in searched}
    entries = entries or _default_entries(config, train)
    plan = Plan(config, entries, train)
    base = plan.train_config({})
    if not base.validation_fraction and config.folds is None:
        raise ValueError("a search needs validation: a validation_fraction above 0, or folds")
    for point in plan.space.corners():
        plan.train_config(point)
    assert plan.n_trials  # lists the points of a grid
    return plan


def _default_entries(config: SearchConfig, train: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that are searched where none is named: all but the fixed ones."""
    default = dict(DEFAULT_GRID if config.sampler == "grid" else DEFAULT_SPACE)
    if "hidden" in train:
        default.pop("layers", None)
        default.pop("units", None)
    if "layers" in train:  # and units: they are fixed as hidden
        default.pop("hidden", None)
    left = {name: entry for name, entry in default.items() if name not in train}
    if not left:
        raise ValueError(f"nothing is left to search: {', '.join(train)} are fixed")
    return left


def read_file(path: str | Path) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """The tables [search], [space] and [train] of a TOML file, the first and the last checked.

    Raises
    ------
    ValueError
        If it is not TOML, or has something else in it. The message begins with the path.
    OSError
        If it cannot be read.
    """
    path = Path(path)
    try:
        content = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: is not valid TOML: {' '.join(str(error).split())}") from error
    tables = {"search": options_of(SearchConfig), "space": parameters(), "train": None}
    tables["train"] = {k: v for k, v in options_of(TrainConfig).items() if k not in OURS}
    for name, table in content.items():
        if name not in tables or not isinstance(table, dict):
            raise ValueError(f"{path}: has {name!r}; it may hold [search], [space] and [train]")
    read = {name: dict(content.get(name, {})) for name in tables}
    try:
        for name in ("search", "train"):
            _check_table(read[name], tables[name], name)
        read_entries(read["space"])
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error
    return read["search"], read["space"], read["train"]


def _check_table(table: dict[str, Any], options: Mapping[str, Any] | None, name: str) -> None:
    import difflib

    assert options is not None
    for key, value in table.items():
        if key not in options:
            close = difflib.get_close_matches(key, options, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"options are {', '.join(options)}"
            raise ValueError(f"unknown option {key!r} in [{name}]; {hint}")
        table[key] = options[key].checked(value, key)


def _plain(entry: Any) -> Any:
    """Lists for tuples, and architectures in one spelling, as JSON would have them."""
    if isinstance(entry, Mapping):
        return dict(entry)
    if isinstance(entry, list | tuple):
        return [_plain(one) for one in entry]
    return label(entry)
