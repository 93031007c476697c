"""Backends with a fault, for checks that must reject them: the reference, spoilt.

A fault is a function that takes one of the reference's functions and returns a faulty one. It
finds out by itself which arrays that function writes, so that it serves every kernel and program.
"""

from types import SimpleNamespace

import numpy as np

from mnistcore.kernels import numpy_kernels

_SOUND = ("workspace_size",)  # writes no array


class Backend:
    """The reference with one fault in each of its functions, or only in one of them."""

    def __init__(self, fault, only=None):
        self._fault, self._only, self._functions = fault, only, {}

    def __getattr__(self, name):
        function = getattr(numpy_kernels, name)
        if name in _SOUND or name.startswith("_") or self._only not in (None, name):
            return function
        if name == "Predictor":
            return lambda *arguments: self._fault(function(*arguments))
        return self._functions.setdefault(name, self._fault(function))


def _arrays(arguments):
    return [argument for argument in arguments if isinstance(argument, np.ndarray)]


def _writeable(argument):
    """Whether it is an array that may be written: the many images of a training may not."""
    return isinstance(argument, np.ndarray) and argument.flags.writeable


def _run(function, arguments):
    """What a function returns and (array, values) of each array that it would write.

    A predictor's logits count even where memory that is used again holds the right ones already.
    """
    copies = [a.copy() if _writeable(a) else a for a in arguments]
    returned = function(*copies)
    logits = arguments[-1] if isinstance(function, numpy_kernels.Predictor) else None
    pairs = zip(_arrays(arguments), _arrays(copies), strict=True)
    return returned, [
        (array, new)
        for array, new in pairs
        if array is logits or (array is not new and array.tobytes() != new.tobytes())
    ]


def no_op(function):
    """Writes nothing and returns 0.0, whatever is asked."""
    return lambda *arguments: 0.0


def silent(function):
    """Returns what is right and writes nothing."""
    return lambda *arguments: _run(function, arguments)[0]


def stale(function):
    """Computes its first answer for each shape, and gives it again ever after."""
    answers = {}

    def repeat(*arguments):
        shapes = tuple(array.shape for array in _arrays(arguments))
        if shapes not in answers:
            returned = function(*arguments)
            answers[shapes] = returned, [array.copy() for array in _arrays(arguments)]
            return returned
        returned, values = answers[shapes]
        for array, old in zip(_arrays(arguments), values, strict=True):
            if array.flags.writeable:
                array[...] = old
        return returned

    return repeat


def spoils(change, which):
    """Computes what is right and then changes one of the arrays that it wrote."""

    def fault(function):
        def spoil(*arguments):
            returned, written = _run(function, arguments)
            for index, (array, values) in enumerate(written):
                before = array.copy()
                array[...] = change(values, before) if index == which else values
            return returned

        return spoil

    return fault


def returns(change):
    """Writes what is right and returns something else."""
    return lambda function: lambda *arguments: change(function(*arguments))


def _transposed(values, before):
    return values[::-1] if values.ndim == 1 else values.T.reshape(values.shape)


def _one_element(values, before):
    values = values.copy()
    middle = values.size // 2
    values.flat[middle] = np.nan if values.dtype.kind == "f" else 255 - values.flat[middle]
    return values


# new = change(what is right, what stood there before)
CHANGES = {
    "not written": lambda values, before: before,
    "zeroed": lambda values, before: np.zeros_like(values),
    "a hundredth off": lambda values, before: values * np.float32(1.01),
    "changed by a hundredth more": lambda values, before: before + 1.01 * (values - before),
    "transposed": _transposed,
    "off by one row": lambda values, before: np.roll(values, 1, axis=0),
    "one NaN": _one_element,
}


def faults_against(verify):
    """Every fault, by name, that a check of one kernel or program must find.

    Each array that it writes is spoilt by itself, and so is a number that it returns.
    """
    written = _count_written(verify)
    faults = {"no-op": no_op, "silent": silent, "stale": stale}
    for index in range(written.arrays):
        for name, change in CHANGES.items():
            faults[f"array {index} {name}"] = spoils(change, index)
    if written.numbers:
        faults["another number returned"] = returns(lambda number: 1.01 * number)
    return faults


def _count_written(verify):
    """The most arrays that a function writes for this check, and whether one returns a number."""
    found = SimpleNamespace(arrays=0, numbers=False)

    def watch(function):
        def run(*arguments):
            found.arrays = max(found.arrays, len(_run(function, arguments)[1]))
            returned = function(*arguments)
            found.numbers |= returned is not None
            return returned

        return run

    verify(Backend(watch))
    return found


off_by_one_row = spoils(CHANGES["off by one row"], 0)
