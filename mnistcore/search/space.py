"""The search space: the parameters of a search and the values that each may take.

A :class:`Space` is built from plain entries, as in a TOML file. It lists the points of a grid and
lets an Optuna trial choose a point; :func:`train_options` turns points into options of ``train``.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..system.text import spelled
from ..training.config import TrainConfig
from ..training.options import Option, Range, options_of

if TYPE_CHECKING:
    from optuna.trial import Trial

Value = int | float | str | tuple[int, ...]
Point = dict[str, Value]  # a value for each parameter that applies

_OWN = {
    "layers": Option(int, "number of hidden layers", limits=Range(0, 100), metavar="N"),
    "units": Option(int, "units of each hidden layer", limits=Range(1, 10**6), metavar="N"),
}
_TRAINING = (
    "hidden", "activation", "init", "optimizer", "learning_rate", "momentum", "schedule",
    "batch_size", "epochs", "weight_decay", "dropout", "batch_norm", "label_smoothing", "ema",
    "clip_norm", "max_norm", "augment", "augment_strength", "augment_fade", "adversarial",
)  # fmt: skip
_TOGETHER = {"layers", "units"}  # what ``hidden`` of train is made of
_BY_DEFAULT_LOGARITHMIC = ("units", "learning_rate", "weight_decay")
_LISTED_AT_MOST = 20  # values of an integer range that a grid lists without grid_points

# The default spaces of random search and TPE, and of grid search.
DEFAULT_SPACE: dict[str, Any] = {
    "layers": {"low": 1, "high": 3},
    "units": {"low": 128, "high": 512},
    "activation": ["relu", "tanh"],
    "optimizer": ["adam", "adamw"],
    "learning_rate": {"low": 5e-4, "high": 1e-2},
    "batch_size": [64, 128, 256],
    "weight_decay": {"low": 1e-6, "high": 1e-3},
    "dropout": {"low": 0.0, "high": 0.3},
    "batch_norm": [False, True],
    "label_smoothing": {"low": 0.0, "high": 0.1},
}
DEFAULT_GRID: dict[str, Any] = {
    "hidden": [[128, 64], [256, 128], [512, 256]],
    "learning_rate": [0.001, 0.002, 0.004],
}


def parameters() -> dict[str, Option]:
    """Return the options that can be searched, by name."""
    training = options_of(TrainConfig)
    return {**_OWN, **{name: training[name] for name in _TRAINING}}


@dataclass(frozen=True)
class Choices:
    """A choice among values; architectures are tuples of units."""

    values: tuple[Value, ...]

    @property
    def log(self) -> bool:
        """Whether the values are numbers that are spaced by ratios rather than differences."""
        numbers = sorted(v for v in self.values if isinstance(v, int | float))
        if len(numbers) < max(3, len(self.values)) or numbers[0] <= 0:
            return False
        ratios, differences = np.divide(numbers[1:], numbers[:-1]), np.diff(numbers)
        return bool(ratios.max() / ratios.min() < differences.max() / differences.min())

    def grid(self, points: int | None, name: str) -> tuple[Value, ...]:
        """Return all values; the arguments are those of :meth:`Interval.grid`."""
        return self.values

    def __str__(self) -> str:
        return ", ".join(map(worded, self.values))

    def largest(self) -> int:
        """Return the largest of the whole numbers among the values."""
        return max(value for value in self.values if isinstance(value, int))

    def suggest(self, trial: "Trial", name: str) -> Value:
        """Let a trial choose a value."""
        return self.value_of(trial.suggest_categorical(name, [label(v) for v in self.values]))

    def value_of(self, labelled: Any) -> Value:
        """Return the value with the given label."""
        return next(value for value in self.values if label(value) == labelled)


@dataclass(frozen=True)
class Interval:
    """A range of numbers from ``low`` to ``high``, both included.

    Attributes
    ----------
    low, high
        The limits.
    whole
        Whether the values are integers.
    log
        Whether values are uniform on a logarithmic scale.
    step
        The distance of the values ``low + k * step``; None for 1, or any real number.
    points
        The number of values that a grid takes; None for that of the search.
    """

    low: float
    high: float
    whole: bool
    log: bool = False
    step: float | None = None
    points: int | None = None

    def grid(self, points: int | None, name: str) -> tuple[Value, ...]:
        """Return ``points`` values, evenly spaced (on a logarithmic scale if ``log``).

        Raises
        ------
        ValueError
            If the number of points is not given; ``name`` is for the message.
        """
        points = self.points or points
        steps = self._steps()
        if points is None and (steps is None or steps >= _LISTED_AT_MOST):
            raise ValueError(
                f"{name} is a range: say how many of its values a grid takes (--grid-points,"
                " or points in the file), or list them"
            )
        if points is None or (steps is not None and steps < points):
            assert steps is not None
            return tuple(self._after(k) for k in range(steps + 1))
        spread = np.geomspace if self.log else np.linspace
        values = [float(value) for value in spread(self.low, self.high, points)]
        values[0], values[-1] = self.low, self.high  # exactly, without rounding
        return tuple(dict.fromkeys(map(self._nearest, values)))

    @property
    def _by(self) -> float | None:
        """The distance of neighbouring values; None for a continuous range."""
        return self.step or (1 if self.whole else None)

    def _steps(self) -> int | None:
        """Return the number of steps from the lowest to the highest value."""
        if self._by is None:
            return None
        return math.floor((self.high - self.low) / self._by * (1 + 1e-12))

    def _after(self, steps: int) -> Value:
        assert self._by is not None
        value = self.low + steps * self._by
        return round(value) if self.whole else value

    def _nearest(self, value: float) -> Value:
        """Return the nearest value of the range."""
        steps = self._steps()
        if self._by is None or steps is None:
            return value
        return self._after(min(steps, round((value - self.low) / self._by)))

    def __str__(self) -> str:
        how = " (log)" if self.log else f" by {self.step:g}" if self.step else ""
        return f"{self.low:g} to {self.high:g}{how}"

    def largest(self) -> int:
        """Return the upper limit of an integer range."""
        return int(self.high)

    def suggest(self, trial: "Trial", name: str) -> Value:
        """Let a trial choose a value."""
        if self.whole:
            step = int(self.step or 1)
            return trial.suggest_int(name, int(self.low), int(self.high), step=step, log=self.log)
        return trial.suggest_float(name, self.low, self.high, step=self.step, log=self.log)


Dimension = Choices | Interval


@dataclass(frozen=True)
class Space:
    """The searched parameters by name, at least one."""

    dimensions: Mapping[str, Dimension]

    def points(self, grid_points: int | None = None) -> list[Point]:
        """Return the grid: each combination of values once, the last parameter varying fastest.

        Parameters
        ----------
        grid_points
            The number of values to take from each range.

        Raises
        ------
        ValueError
            If that number is needed but not given, or the grid has more than 100,000 points.
        """
        axes = {name: d.grid(grid_points, name) for name, d in self.dimensions.items()}
        size = math.prod(map(len, axes.values()))
        if size > 10**5:
            raise ValueError(f"the grid has {size:,} points; at most 100,000 are allowed")
        points: dict[tuple[Any, ...], Point] = {}
        for values in itertools.product(*axes.values()):
            point = _applicable(dict(zip(axes, values, strict=True)))
            points.setdefault(tuple(point.items()), point)
        return list(points.values())

    def corners(self) -> list[Point]:
        """Return points for validation: each pair of limits and choices of two parameters.

        The other parameters have their first values, and again their last ones.
        """
        ends = {name: _ends(dimension) for name, dimension in self.dimensions.items()}
        points: dict[tuple[Any, ...], Point] = {}
        for others in (0, -1):
            usual = {name: values[others] for name, values in ends.items()}
            for one, other in itertools.combinations_with_replacement(ends, 2):
                for pair in itertools.product(ends[one], ends[other]):
                    point = _applicable({**usual, one: pair[0], other: pair[1]})
                    points.setdefault(tuple(point.items()), point)
        return list(points.values())

    def describe(self) -> list[str]:
        """Return a description of each parameter and its values."""
        return [f"{name.replace('_', ' ')} {d}" for name, d in self.dimensions.items()]

    def logarithmic(self) -> set[str]:
        """Return the names of the parameters on a logarithmic scale."""
        return {name for name, dimension in self.dimensions.items() if dimension.log}

    def suggest(self, trial: "Trial") -> Point:
        """Let an Optuna trial choose a point."""
        point: Point = {}
        for name, dimension in self.dimensions.items():
            if name in _applicable({**point, name: 0}):
                point[name] = dimension.suggest(trial, name)
        return point

    def point_of(self, params: Mapping[str, Any]) -> Point:
        """Convert the parameters of a stored trial to a point, replacing labels by values."""
        point: Point = {}
        for name, value in params.items():
            dimension = self.dimensions[name]
            point[name] = dimension.value_of(value) if isinstance(dimension, Choices) else value
        return point


def _ends(dimension: Dimension) -> tuple[Value, ...]:
    if isinstance(dimension, Choices):
        return dimension.values
    return dimension.low, dimension.high


def _applicable(point: Point) -> Point:
    """Remove the options of what is off in a point: momentum, hidden layers, deformed images."""
    idle = set()
    if point.get("optimizer", "sgd") != "sgd":
        idle.add("momentum")
    if point.get("layers", 1) == 0 or point.get("hidden", 1) == ():
        idle |= {"units", "activation", "dropout", "batch_norm"}
    if not point.get("augment", True):
        idle |= {"augment_strength", "augment_fade"}
    return {name: value for name, value in point.items() if name not in idle}


def train_options(point: Mapping[str, Value]) -> dict[str, Any]:
    """Convert a point to options of ``train``: layers and units become hidden."""
    options: dict[str, Any] = dict(point)
    layers, units = options.pop("layers", None), options.pop("units", None)
    if layers is not None:
        options["hidden"] = (units,) * layers
    return options


def label(value: Value) -> int | float | str:
    """Return the stored and displayed form of a value; architectures: ``512-256``, ``none``."""
    return ("-".join(map(str, value)) or "none") if isinstance(value, tuple) else value


def worded(value: Value) -> str:
    """Return a value as a person reads it, and as flags spell it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(label(value))


def read_entries(entries: Mapping[str, Any]) -> tuple[dict[str, Dimension], dict[str, Value]]:
    """Parse entries as in a TOML file into searched parameters and fixed values.

    An entry is a value, a list of values, or ``{low, high, log, step, points}``.

    Raises
    ------
    TypeError, ValueError
        If an option cannot be searched or does not accept a value. The message names the option.
    """
    known = parameters()
    dimensions: dict[str, Dimension] = {}
    fixed: dict[str, Value] = {}
    for name, entry in entries.items():
        if name not in known:
            raise ValueError(f"{spelled(name)} cannot be searched; {', '.join(known)} can")
        values = [entry] if _is_architecture(name, entry) else entry
        if isinstance(values, Mapping):
            dimensions[name] = _interval(name, known[name], values)
            continue
        choices = _choices(name, known[name], values)
        if len(choices) > 1:
            dimensions[name] = Choices(choices)
        else:
            fixed[name] = choices[0]
    _check_together(dimensions, fixed)
    if dimensions.keys() & _TOGETHER:  # only together are they an option of train
        dimensions |= {name: Choices((fixed.pop(name),)) for name in fixed.keys() & _TOGETHER}
    fixed = train_options(fixed)
    # What others depend on is suggested first: the optimizer, then as listed, augment before its
    # strengths.
    order = sorted(dimensions, key=lambda name: (name != "optimizer", list(known).index(name)))
    return {name: dimensions[name] for name in order}, fixed


def parse_entry(flag: str, texts: Sequence[str]) -> Any:
    """Parse an entry of the command line: one or more values, or ``LOW:HIGH[:log|:linear]``.

    Raises
    ------
    ValueError
        If a range is malformed. The message begins with ``flag``.
    """
    if not any(":" in text for text in texts):
        values = [_value_of(text) for text in texts]
        return values if len(values) > 1 else values[0]
    low, _, rest = texts[0].partition(":")
    high, _, scale = rest.partition(":")
    if len(texts) > 1 or not low or not high or scale not in ("", "log", "linear"):
        raise ValueError(
            f"{flag}: a range is LOW:HIGH, LOW:HIGH:log or LOW:HIGH:linear, got {' '.join(texts)!r}"
        )
    scaled = {"log": scale == "log"} if scale else {}
    return {"low": _value_of(low), "high": _value_of(high), **scaled}


_SWITCH = {"on": True, "true": True, "off": False, "false": False}


def _value_of(text: str) -> int | float | str:
    """Convert to a switch or a number if possible; the option rejects other text later."""
    if text in _SWITCH:
        return _SWITCH[text]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _is_architecture(name: str, entry: Any) -> bool:
    """Return whether an entry is a single architecture rather than a list of values."""
    if name != "hidden" or not isinstance(entry, Sequence) or isinstance(entry, str):
        return False
    return not any(isinstance(one, Sequence) for one in entry)


def _choices(name: str, opt: Option, entry: Any) -> tuple[Value, ...]:
    """Check a list of values, or a single value."""
    values = entry if isinstance(entry, Sequence) and not isinstance(entry, str) else [entry]
    if not values:
        raise ValueError(f"{name} has an empty list of values")
    checked = [_checked(name, opt, value) for value in values]
    if len(set(checked)) < len(checked):
        raise ValueError(f"{name} lists a value twice")
    return tuple(checked)


def _checked(name: str, opt: Option, value: Any) -> Value:
    if value is None:
        raise TypeError(f"{name} must have a value")
    if name == "hidden" and isinstance(value, str):
        value = [_whole(part) for part in value.split("-")]  # or ["none"]
    checked: Any = opt.checked(value, name)
    if name == "hidden":
        return tuple(checked)
    if opt.many and len(checked) > 1:
        raise ValueError(f"{name} takes one rate for all layers in a search, got {checked}")
    return checked[0] if opt.many else checked


def _whole(text: str) -> int | str:
    return int(text) if text.strip().isdigit() else text


def _interval(name: str, opt: Option, entry: Mapping[str, Any]) -> Interval:
    unknown = set(entry) - {"low", "high", "log", "step", "points"}
    if unknown or not {"low", "high"} <= set(entry):
        raise ValueError(f"{name}: a range is {{low, high}} with log, step and points if wanted")
    if opt.kind not in (int, float) or name == "hidden":
        raise ValueError(f"{name}: is not a number, so that it cannot have a range; list values")
    low, high = (_checked(name, opt, entry[end]) for end in ("low", "high"))
    assert isinstance(low, int | float)
    assert isinstance(high, int | float)
    if not low < high:
        raise ValueError(f"{name}: low must be below high, got {low} and {high}")
    whole = opt.kind is int
    step = entry.get("step")
    if step is not None:
        step = Option(opt.kind, "", limits=Range(0, open_low=True)).checked(step, f"{name}: step")
        if step > high - low:
            raise ValueError(f"{name}: step must fit between low and high, got {step}")
    log = entry.get("log", name in _BY_DEFAULT_LOGARITHMIC and low > 0 and step is None)
    log = Option(bool, "").checked(log, f"{name}: log")
    if log and (low <= 0 or step is not None):
        raise ValueError(f"{name}: a logarithmic range has a low above 0 and no step")
    points = entry.get("points")
    if points is not None:
        points = Option(int, "", limits=Range(2, 10**5)).checked(points, f"{name}: points")
    return Interval(low, high, whole, log, step, points)


def _check_together(dimensions: Mapping[str, Dimension], fixed: Mapping[str, Value]) -> None:
    named = {*dimensions, *fixed}
    if "hidden" in named and named & _TOGETHER:
        raise ValueError("give either hidden, or layers and units")
    optimizers = dimensions.get("optimizer")
    if "momentum" in named and isinstance(optimizers, Choices) and "sgd" not in optimizers.values:
        raise ValueError(f"momentum is for optimizer sgd, which is not among {optimizers}")
    if len(named & _TOGETHER) == 1:
        raise ValueError("layers and units belong together: give both, or hidden")
