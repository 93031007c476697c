"""A step explained on the terminal: its lesson, its code, and what the compiler made of it."""

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..kernels.backends import BackendUnavailableError
from ..system.errors import suggestion
from .figures import TITLES
from .step import BACKENDS, Ladder, Lesson, Step, load

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

WIDTH = 100
LONGEST_LISTING = 40  # instructions of a loop that are shown


def find_lesson(ladder: Ladder, words: str) -> Lesson:
    """Return the lesson with a number, or with a name or its beginning.

    Raises
    ------
    ValueError
        If there is none, or several begin so.
    """
    lessons = ladder.lessons
    if words.isdecimal() and 1 <= int(words) <= len(lessons):
        return lessons[int(words) - 1]
    wanted = words.casefold()
    found = [one for one in lessons if one.name.casefold() == wanted]
    found = found or [one for one in lessons if wanted and one.name.casefold().startswith(wanted)]
    if len(found) == 1:
        return found[0]
    names = [one.name for one in lessons]
    hint = suggestion(words, names)
    every = ", ".join(f"{number} {name}" for number, name in enumerate(names, 1))
    raise ValueError(
        f"the ladder {ladder.name} has no step {words!r}; {hint or f'its steps are {every}'}"
    )


def explain(ladder: str, words: str, backend: str = "both") -> Iterator["RenderableType"]:
    """Return what to print of a step, piece by piece: the last ones take seconds.

    Parameters
    ----------
    ladder
        Its name.
    words
        The number of the step, its name, or how that begins.
    backend
        "numba", "cython" or "both".

    Raises
    ------
    ValueError
        If there is no such step.
    BackendUnavailableError
        If none of the languages is available.
    """
    chosen = load(ladder)
    lesson = find_lesson(chosen, words)
    shown = list(_steps(chosen, lesson, backend))
    if not shown:
        raise ValueError(f"{lesson.name} is no step of the ladder {ladder} in {TITLES[backend]}")
    return _pieces(chosen, lesson, shown)


def _steps(ladder: Ladder, lesson: Lesson, backend: str) -> Iterator[tuple[str, Step, Step | None]]:
    """Return the step in each language, with the step before it."""
    python = ladder.steps("python")
    missing = []
    for language in ("python", *(BACKENDS if backend == "both" else (backend,))):
        try:
            steps = [*python, *(ladder.steps(language) if language != "python" else ())]
        except BackendUnavailableError as error:
            missing.append(error)
            continue
        names = [step.name for step in steps]
        if lesson.name in names and (language == "python" or lesson.name not in _names(python)):
            place = names.index(lesson.name)
            yield language, steps[place], steps[place - 1] if place else None
    if missing and (backend != "both" or len(missing) == len(BACKENDS)):
        raise missing[0]


def _names(steps: Sequence[Step]) -> list[str]:
    return [step.name for step in steps]


def _pieces(
    ladder: Ladder, lesson: Lesson, shown: Sequence[tuple[str, Step, Step | None]]
) -> Iterator["RenderableType"]:
    from rich.text import Text

    number = ladder.number(lesson.name)
    yield Text(f"{ladder.name}, step {number} of {len(ladder.lessons)}: {lesson.name}", "bold")
    yield from _lesson(lesson)
    for language, step, before in shown:
        yield Text()
        since = f"; + marks what the step before ({before.name}) has not" if before else ""
        yield Text.assemble((f"In {TITLES[language]}", "bold"), (since, "dim"))
        yield from _code(ladder, language, step, before)
        yield from _compiled(ladder, language, step)


def _lesson(lesson: Lesson) -> Iterator["RenderableType"]:
    from rich.padding import Padding
    from rich.text import Text

    parts = {
        "Idea": lesson.idea,
        "Why it is faster": lesson.why,
        "Expect": lesson.expect,
        "Read": lesson.read,
    }
    for title, words in parts.items():
        yield Text()
        yield Text(title, "bold cyan")
        yield Padding(Text(words), (0, 0, 0, 2), expand=False)


def _code(
    ladder: Ladder, language: str, step: Step, before: Step | None
) -> Iterator["RenderableType"]:
    """Return the functions of a step, with a + before each new line; old lines are dim."""
    from rich.text import Text

    from .source import new_lines, sources

    now = sources(ladder, step)
    then = sources(ladder, before) if before else []
    if now and all(text in then for text in now):
        yield Text("\n  The code of the step before, without a change.", "dim")
    for text, new in zip(now, new_lines(now, then), strict=True):
        yield Text()
        yield _marked(text, new, "cython" if language == "cython" else "python", bool(before))


def _marked(code: str, new: Sequence[bool], language: str, compared: bool) -> "Text":
    from rich.syntax import Syntax
    from rich.text import Text

    lines = Syntax("", language, theme="ansi_dark", background_color="default").highlight(code)
    marked = Text(no_wrap=True, overflow="ignore")
    for line, is_new in zip(lines.split("\n"), new, strict=False):
        if not compared:
            marked.append_text(Text("  ") + line)
        elif is_new:
            marked.append_text(Text.assemble(("+ ", "bold green"), line))
        else:
            marked.append_text(Text("  ") + Text(line.plain, "dim"))
        marked.append("\n")
    marked.rstrip()
    return marked


def _compiled(ladder: Ladder, language: str, step: Step) -> Iterator["RenderableType"]:
    """Return what is in the innermost loop of the machine code."""
    from rich.padding import Padding
    from rich.text import Text

    from .disassembly import NoMachineCodeError, machine_code
    from .machine_code import innermost_loop

    if language == "python":
        return
    arguments = ladder.draw(max(ladder.edges, key=math.prod), np.random.default_rng(0))
    yield Text()
    try:
        loop = innermost_loop(machine_code(step, arguments))
    except NoMachineCodeError as error:
        yield Text(f"The machine code is not shown: {error}.", "dim")
        return
    if loop is None or not loop.multiply_adds + loop.arithmetic:
        yield Text(
            "No loop with arithmetic is in its machine code, or in what that calls by name.", "dim"
        )
        return
    yield Text.assemble(("The innermost loop, compiled", "bold cyan"))
    yield Padding(
        Text(f"{loop}{_each(loop.multiply_adds, loop.loads, loop.stores)}"),
        (0, 0, 0, 2),
        expand=False,
    )
    if loop.instructions <= LONGEST_LISTING:
        listing = "\n".join(loop.listing)
        yield Padding(
            Text(listing, "dim", no_wrap=True, overflow="ellipsis"), (1, 0, 0, 4), expand=False
        )


def _each(multiply_adds: int, loads: int, stores: int) -> str:
    if not multiply_adds:
        return ""
    each = _plural(loads / multiply_adds, "load"), _plural(stores / multiply_adds, "store")
    return f": {' and '.join(each)} for each multiply-add"


def _plural(number: float, noun: str) -> str:
    return f"{number:.2g} {noun}{'' if number == 1 else 's'}"
