"""Test a function of your own, measure it, and find its place on a ladder."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..system.errors import place_of
from ..system.text import counted, one_line
from .figures import TITLES, digits
from .measure import Climb, Rung, run
from .step import Ladder, Lesson, Step, load
from .verify import first_mistake, first_special_mistake, sizes

SECONDS = 3.0


@dataclass(frozen=True, repr=False)
class Place:
    """Where a function stands on a ladder.

    Attributes
    ----------
    function
        Its name.
    ladder, shape
        The name of the ladder, and the shape that was measured.
    seconds, rate, unit
        The time of a call; 1e9 operations or bytes per second, as the unit says.
    of_peak
        The fraction reached of the limit of one core.
    below, above
        The fastest step that is not faster, and the slowest one that is; None if there is none.
    climb
        Everything that was measured in the same rounds.
    """

    function: str
    ladder: str
    shape: tuple[int, ...]
    seconds: float
    rate: float
    unit: str
    of_peak: float
    below: Rung | None
    above: Rung | None
    climb: Climb

    def __str__(self) -> str:
        return "\n".join((self._speed(), self._place(), *self._beside_numpy()))

    __repr__ = __str__

    def to_dict(self) -> dict[str, Any]:
        """Return the place without the rounds that it was measured in, for JSON."""
        return {
            "function": self.function,
            "ladder": self.ladder,
            "shape": list(self.shape),
            "seconds": self.seconds,
            "rate": self.rate,
            "unit": self.unit,
            "of_peak": self.of_peak,
            "below": self.below and f"{self.below.language}: {self.below.step}",
            "above": self.above and f"{self.above.language}: {self.above.step}",
        }

    def _speed(self) -> str:
        limits = (
            f"{100 * self.rate / peak:.2g} % of what {counted(count, 'core')} can do"
            for count, peak in self.climb.peaks.items()
        )
        where = sizes(load(self.ladder), self.shape)
        return (
            f"{self.function} is right: {digits(self.rate)} {self.unit} at {where},"
            f" {' and '.join(limits)}"
        )

    def _place(self) -> str:
        if self.below and self.above:
            return f"between {self._step(self.below)} and {self._step(self.above)}"
        if self.below:
            return f"above every step; the fastest is {self._step(self.below)}"
        return f"below every step; the slowest is {self._step(self.above)}" if self.above else ""

    def _step(self, rung: Rung) -> str:
        number = load(self.ladder).number(rung.step)
        speed = f"{TITLES[rung.language]}, {digits(rung.rate)} {self.unit}"
        return f"step {number} ({rung.step}, {speed})"

    def _beside_numpy(self) -> list[str]:
        return [
            f"{digits(self.rate / rung.rate)} times the speed of NumPy's {rung.step}"
            for rung in self.climb.rungs
            if rung.language == "numpy"
        ]


def check(
    function: Callable[..., Any],
    ladder: str = "matmul",
    backend: str = "numba",
    shape: Sequence[int] | None = None,
    seconds: float | None = None,
    *,
    quick: bool = False,
    watch: Callable[[Climb], None] = lambda climb: None,
) -> Place:
    """Test a function of your own hard; if it is right, measure it beside the steps of a ladder.

    It is called at every shape at which the steps are tested, also 1 and 0, with outputs that are
    filled with NaN. It may write nothing but its outputs, and must compute again when its arrays
    hold other numbers.

    Parameters
    ----------
    function
        Takes what a step of the ladder takes: for "matmul" a (M, K), b (K, N) and out (M, N),
        contiguous arrays of float32, and writes out.
    ladder, backend, shape, quick
        What to measure it beside: see :func:`run`.
    seconds
        The approximate measuring time; None for 3.
    watch
        Called again and again with what has been measured so far.

    Returns
    -------
    Place

    Raises
    ------
    AssertionError
        If the function is wrong: the message names the first wrong element, and the shape.
    TypeError
        If it does not take the arguments of the ladder.
    """
    chosen = load(ladder)
    name = getattr(function, "__name__", type(function).__name__)
    _check_signature(chosen, function, name)
    guarded = _guarded(chosen, function, name)
    _assert_right(name, first_mistake(chosen, guarded, chosen.edges))
    _assert_right(name, first_special_mistake(chosen, guarded))
    step = Step(Lesson(name, "", "", "", ""), guarded, (function,))
    climb = run(
        ladder, backend, shape, seconds or SECONDS, quick=quick, others=(step,), watch=watch
    )
    mine = climb.rungs[-1]
    measured = mine.rows, *climb.shape[1:]
    _assert_right(name, mine.wrong and f"{mine.wrong}, at {sizes(chosen, measured)}")
    _assert_right(name, first_mistake(chosen, guarded, [measured], seed=1))  # after many calls
    return _place(climb, mine, chosen)


def _assert_right(name: str, wrong: str | None) -> None:
    if wrong:
        raise AssertionError(f"{name} is wrong: {wrong}")


def _check_signature(ladder: Ladder, function: Callable[..., Any], name: str) -> None:
    words = ", ".join(ladder.arguments)
    if not callable(function):
        raise TypeError(f"{function!r} is no function; the ladder {ladder.name} calls f({words})")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some compiled functions have none
        return
    try:
        signature.bind(*ladder.arguments)
    except TypeError as error:
        raise TypeError(
            f"the ladder {ladder.name} calls {name}({words}), but it is {name}{signature}: {error}"
        ) from error


def _guarded(ladder: Ladder, function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """Return the function so that an exception in it says where, and with which arrays."""

    def guarded(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except Exception as error:
            shapes = ", ".join(
                f"{argument} {value.shape}"
                for argument, value in zip(ladder.arguments, arguments, strict=True)
                if isinstance(value, np.ndarray)
            )
            code = getattr(function, "__code__", None)
            place = place_of(error, code.co_filename) if code else ""
            what = f"{place}: {type(error).__name__}: {one_line(str(error), 200)}".removeprefix(
                ": "
            )
            raise AssertionError(f"{name} is wrong: {what}, with {shapes}") from error

    return guarded


def _place(climb: Climb, mine: Rung, ladder: Ladder) -> Place:
    steps = [rung for rung in climb.rungs if ladder.number(rung.step) and rung is not mine]
    slower = [rung for rung in steps if rung.rate <= mine.rate]
    faster = [rung for rung in steps if rung.rate > mine.rate]
    return Place(
        function=mine.step,
        ladder=ladder.name,
        shape=climb.shape,
        seconds=mine.seconds,
        rate=mine.rate,
        unit=ladder.unit,
        of_peak=mine.rate / climb.peaks[1],
        below=max(slower, key=lambda rung: rung.rate, default=None),
        above=min(faster, key=lambda rung: rung.rate, default=None),
        climb=climb,
    )
