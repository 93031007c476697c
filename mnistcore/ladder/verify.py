"""Whether a function computes what a ladder computes: what is wrong, in one sentence."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .step import Expected, Ladder

__all__ = ["first_mistake", "mistake"]


def first_mistake(
    ladder: Ladder, function: Callable[..., Any], shapes: Sequence[Sequence[int]], seed: int = 0
) -> str | None:
    """Call a function at each shape, and return what is wrong with its first wrong result.

    Returns
    -------
    str or None
        A sentence that names the first wrong element and the shape; None if all is right.
    """
    for shape in shapes:
        arguments = ladder.draw(shape, np.random.default_rng([seed, *shape]))
        before = [np.copy(argument) for argument in arguments]
        result = function(*arguments)
        wrong = mistake(ladder, before, arguments, result)
        if wrong:
            sizes = " ".join(f"{name}={n}" for name, n in zip(ladder.sizes, shape, strict=True))
            return f"{wrong}, at {sizes}"
    return None


def mistake(ladder: Ladder, before: Sequence[Any], after: Sequence[Any], result: Any) -> str | None:
    """Return what is wrong after a call, or None.

    Parameters
    ----------
    ladder
        What should have been computed.
    before, after
        Copies of the arguments as they were, and the arguments after the call.
    result
        What the function returned.
    """
    given = dict(zip(ladder.arguments, after, strict=True)) | {"result": result}
    for name, argument in zip(ladder.arguments, before, strict=True):
        if name not in ladder.outputs and not np.array_equal(given[name], argument):
            return f"{name} was changed, which is an input"
    for name, expected in ladder.expected(*before).items():
        wrong = _first_wrong(name, given[name], expected)
        if wrong:
            return wrong
    return None


def _first_wrong(name: str, found: Any, expected: Expected) -> str | None:
    value = np.asarray(expected.value)
    try:
        found = np.asarray(found, np.float64)
    except (TypeError, ValueError):
        return f"{name} is {type(found).__name__}, not a number"
    if found.shape != value.shape:
        return f"{name} has shape {found.shape}, not {value.shape}"
    right = np.abs(found - value) <= expected.bound  # False where either is NaN
    right |= np.isnan(found) & np.isnan(value)
    if right.all():
        return None
    place = tuple(int(i) for i in np.argwhere(~right)[0]) if value.ndim else ()
    element = f"{name}[{', '.join(map(str, place))}]" if place else name
    return f"{element} is {found[place]:.8g}, not {value[place]:.8g}"
