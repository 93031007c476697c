"""What a ladder is: one computation, the lessons of its steps, and the functions that take them."""

import functools
import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..kernels.backends import BackendUnavailableError

LADDERS = ("matmul", "softmax", "adam", "gather", "step")
_FOLDERS = {"step": "training_step"}  # where the name of a ladder is that of a module here
BACKENDS = ("numba", "cython")  # whose steps lead to the kernels of training
LANGUAGES = ("python", *BACKENDS, "numpy")


@dataclass(frozen=True)
class Lesson:
    """What one step teaches, whatever language it is written in.

    Attributes
    ----------
    name
        A few words, for tables.
    idea
        What changes from the step before: one idea, in a paragraph.
    why
        Why it is faster: the resource (loads, cache level, ports, latency, bandwidth, overhead)
        that limited the step before, and no longer does.
    expect
        A number, and how to see it.
    read
        The source of the idea, to read on.
    shape
        The shape at which the idea pays, if that is not the shape of the ladder.
    threaded
        Whether the step uses all cores.
    vectors
        Whether the step in Numba is written in vector instructions, which exist in compiled code
        only.
    """

    name: str
    idea: str
    why: str
    expect: str
    read: str
    shape: tuple[int, ...] | None = None
    threaded: bool = False
    vectors: bool = False


@dataclass(frozen=True)
class Step:
    """One step of a ladder in one language; it is called as the function that it holds.

    Attributes
    ----------
    lesson
        What it teaches.
    function
        Computes what the ladder computes, with the ladder's arguments.
    parts
        The functions that were written for this step, in the order in which a reader wants them;
        in Cython their names.
    """

    lesson: Lesson
    function: Callable[..., Any]
    parts: tuple[Any, ...] = ()

    @property
    def name(self) -> str:
        """The name of its lesson."""
        return self.lesson.name

    def __call__(self, *arguments: Any) -> Any:
        """Compute."""
        return self.function(*arguments)


class Expected(NamedTuple):
    """What an output must be.

    Attributes
    ----------
    value
        The exact result, in float64.
    bound
        How far from it each element may be: 0 where arithmetic is exact.
    """

    value: np.ndarray
    bound: np.ndarray | float


class Special(NamedTuple):
    """A call with numbers that ``draw`` does not return.

    Attributes
    ----------
    shape
        The sizes of the ladder.
    words
        What is special, to end a sentence: "with a NaN in a".
    arguments
        New arguments.
    expected
        What the outputs must be, by their names; None for what the ladder expects.
    """

    shape: Sequence[int]
    words: str
    arguments: Sequence[Any]
    expected: Mapping[str, Expected] | None = None


def _nothing_new(arguments: tuple[Any, ...]) -> None:
    pass


@dataclass(frozen=True)
class Ladder:
    """One computation, and the lessons of the steps that lead from plain loops to its kernel.

    Attributes
    ----------
    name
        What the command calls it.
    title
        What is computed, for headings.
    arguments
        The names of a step's arguments, in order.
    outputs
        The arguments that a step writes; "result" is what it returns.
    sizes
        The names of the numbers that make a shape. The first one counts rows that do not depend
        on each other: a slow step is measured on fewer of them.
    shape, quick
        The shape that is measured, and a smaller one for a quick look.
    draw
        ``draw(shape, rng)`` returns new arguments: outputs are filled with NaN, unless a step
        also reads them.
    expected
        ``expected(*arguments)`` returns what the outputs must be, by their names.
    work
        ``work(shape)``: the floating-point operations of a call, or the bytes that it must move.
    unit
        "GFLOP/s" or "GB/s": which of them limits the best step.
    lessons
        The steps, slowest first. The last one is the kernel that training runs on.
    edges
        The shapes at which every step is tested: the size of each tile less one, exact and one
        more; primes; 1; nothing.
    special
        ``special(rng)`` returns calls to test with numbers that ``draw`` does not return.
    other
        ``other(shape)``: the operations if ``work`` returns bytes, or else the bytes, if every
        array is moved once.
    in_place
        Whether every array that is written is also read: the limit in GB/s is then that of a loop
        which does the same.
    renew
        ``renew(arguments)`` changes inputs before each call that is measured, where the same call
        again would find in the caches what a real one does not.
    """

    name: str
    title: str
    arguments: tuple[str, ...]
    outputs: tuple[str, ...]
    sizes: tuple[str, ...]
    shape: tuple[int, ...]
    quick: tuple[int, ...]
    draw: Callable[[Sequence[int], np.random.Generator], tuple[Any, ...]]
    expected: Callable[..., Mapping[str, Expected]]
    work: Callable[[Sequence[int]], float]
    unit: str
    lessons: tuple[Lesson, ...]
    edges: tuple[tuple[int, ...], ...]
    special: Callable[[np.random.Generator], Iterable[Special]]
    other: Callable[[Sequence[int]], float]
    in_place: bool = False
    renew: Callable[[tuple[Any, ...]], None] = _nothing_new

    def number(self, name: str) -> int | None:
        """Return the number of a step, from 1; None for what is no step of the ladder."""
        names = [lesson.name for lesson in self.lessons]
        return names.index(name) + 1 if name in names else None

    def flops(self, shape: Sequence[int]) -> float:
        """Return the floating-point operations of a call."""
        return self.work(shape) if self.unit == "GFLOP/s" else self.other(shape)

    def moved(self, shape: Sequence[int]) -> float:
        """Return the bytes that a call must move."""
        return self.work(shape) if self.unit == "GB/s" else self.other(shape)

    def steps(self, language: str) -> list[Step]:
        """Return the steps in a language, the slowest first.

        Raises
        ------
        ValueError
            If there is no ladder in this language.
        BackendUnavailableError
            If it cannot be loaded on this machine.
        """
        if language not in LANGUAGES:
            raise ValueError(
                f"there is no ladder in {language!r}; choose from {', '.join(LANGUAGES)}"
            )
        try:
            module = importlib.import_module(f".{_folder(self.name)}.{language}_steps", __package__)
        except ImportError as error:
            raise BackendUnavailableError(
                f"the ladder in {language} is not available: {error}"
            ) from error
        found: list[Step] = module.STEPS
        return found


def _folder(ladder: str) -> str:
    return _FOLDERS.get(ladder, ladder)


@functools.cache
def load(name: str) -> Ladder:
    """Return a ladder by its name.

    Raises
    ------
    ValueError
        If there is none of this name.
    """
    if name not in LADDERS:
        raise ValueError(f"there is no ladder {name!r}; choose from {', '.join(LADDERS)}")
    found: Ladder = importlib.import_module(f".{_folder(name)}", __package__).LADDER
    return found


def steps(ladder: str, language: str) -> list[Step]:
    """Return the steps of a ladder in a language: see :meth:`Ladder.steps`."""
    return load(ladder).steps(language)
