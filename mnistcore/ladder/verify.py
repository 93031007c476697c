"""Whether a function computes what a ladder computes: what is wrong, in one sentence."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .fences import Fenced
from .step import Expected, Ladder


def first_mistake(
    ladder: Ladder, function: Callable[..., Any], shapes: Sequence[Sequence[int]], seed: int = 0
) -> str | None:
    """Call a function at each shape, and return what is wrong with its first wrong result.

    At each shape it is called twice with the same arrays, which hold other numbers the second
    time: a function that repeats an answer is wrong.

    Returns
    -------
    str or None
        A sentence that names the first wrong element and the shape; None if all is right.
    """
    for shape in shapes:
        drawn = [ladder.draw(shape, np.random.default_rng([seed, n, *shape])) for n in range(2)]
        fenced = Fenced(drawn[0])
        for arguments in drawn:
            fenced.fill(arguments)
            wrong = _mistake_in_call(ladder, function, fenced, None)
            if wrong:
                return f"{wrong}, at {sizes(ladder, shape)}"
    return None


def first_special_mistake(ladder: Ladder, function: Callable[..., Any]) -> str | None:
    """Call a function with the ladder's special numbers, and return what is wrong as above."""
    for case in ladder.special(np.random.default_rng(0)):
        fenced = Fenced(case.arguments)
        wrong = _mistake_in_call(ladder, function, fenced, case.expected)
        if wrong:
            return f"{wrong}, at {sizes(ladder, case.shape)} {case.words}"
    return None


def _mistake_in_call(
    ladder: Ladder,
    function: Callable[..., Any],
    fenced: Fenced,
    expected: Mapping[str, Expected] | None,
) -> str | None:
    before = [np.copy(argument) for argument in fenced.arguments]
    with np.errstate(all="ignore"):  # special numbers make NumPy warn
        result = function(*fenced.arguments)
        wrong = fenced.written_outside(ladder.arguments)
        wrong = wrong or mistake(ladder, before, fenced.arguments, result, expected)
    if wrong and result is not None and "result" not in ladder.outputs:
        wrong += f" (what is returned is not looked at; write {' and '.join(ladder.outputs)})"
    return wrong


def sizes(ladder: Ladder, shape: Sequence[int]) -> str:
    """Return a shape in words, such as M=3 K=4 N=5."""
    return " ".join(f"{name}={n}" for name, n in zip(ladder.sizes, shape, strict=True))


def mistake(
    ladder: Ladder,
    before: Sequence[Any],
    after: Sequence[Any],
    result: Any,
    expected: Mapping[str, Expected] | None = None,
) -> str | None:
    """Return what is wrong after a call, or None.

    Parameters
    ----------
    ladder
        What should have been computed.
    before, after
        Copies of the arguments as they were, and the arguments after the call.
    result
        What the function returned.
    expected
        What the outputs must be; None for what the ladder expects.
    """
    given = dict(zip(ladder.arguments, after, strict=True)) | {"result": result}
    for name, argument in zip(ladder.arguments, before, strict=True):
        if name not in ladder.outputs and not _same(given[name], argument):
            return f"{name} was changed, which is an input"
    for name, value in (expected or ladder.expected(*before)).items():
        wrong = _first_wrong(name, given[name], value)
        if wrong:
            return wrong
    return None


def _same(first: Any, second: Any) -> bool:
    """Return whether two arguments are equal to the bit, so that a NaN equals itself."""
    first, second = np.asarray(first), np.asarray(second)
    if first.dtype == object:
        return bool(np.array_equal(first, second))
    return first.shape == second.shape and bool(first.tobytes() == second.tobytes())


def _first_wrong(name: str, found: Any, expected: Expected) -> str | None:
    value = np.asarray(expected.value)
    try:
        found = np.asarray(found, np.float64)
    except (TypeError, ValueError):
        return f"{name} is {type(found).__name__}, not a number"
    if found.shape != value.shape:
        return f"{name} has shape {found.shape}, not {value.shape}"
    with np.errstate(invalid="ignore"):  # inf - inf
        right = np.abs(found - value) <= expected.bound  # False where either is NaN
    right |= (found == value) | (np.isnan(found) & np.isnan(value))
    if right.all():
        return None
    place = tuple(int(i) for i in np.argwhere(~right)[0]) if value.ndim else ()
    element = f"{name}[{', '.join(map(str, place))}]" if place else name
    return f"{element} is {found[place]:.8g}, not {value[place]:.8g}"
