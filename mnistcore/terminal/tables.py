"""Tables and panels for the terminal, drawn with rich."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..models.metrics import per_class_accuracy, percent
from ..system.text import one_line
from ..training.recipes import COMMON, Recipe
from .flags import as_flags

if TYPE_CHECKING:
    from rich.console import Group, RenderableType
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

Colour = tuple[int, int, int]

# Blue for right and orange for wrong, which colour-blind people can tell apart. The background
# is always dark, because a program cannot know the terminal's own colours. A terminal of 16 colours
# gets light ones by name under black ink, which can be read in every palette.
_DARK: Colour = (30, 32, 36)
_RIGHT: Colour = (36, 96, 168)
_WRONG: Colour = (176, 72, 0)


def facts_table(facts: Mapping[str, str]) -> "Table":
    """Return a table of names and facts in two columns."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, fact in facts.items():
        table.add_row(name, Text(fact))
    return table


def notice_panel(notice: str) -> "Panel":
    """Return a framed notice."""
    from rich.panel import Panel
    from rich.text import Text

    return Panel(Text(notice), title="Please note", title_align="left", border_style="yellow")


def recipe_list(recipes: Mapping[str, Recipe]) -> "Group":
    """Return a list of recipes: name, description, and the flags that they stand for."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.text import Text

    parts: list[RenderableType] = []
    for name, recipe in recipes.items():
        settings = recipe.settings.items()
        own = {option: value for option, value in settings if COMMON.get(option) != value}
        parts.append(Text(name, style="bold"))
        parts.append(Padding(Text(recipe.about), (0, 0, 0, 2)))
        parts.append(Padding(Text(as_flags(own), style="dim"), (0, 0, 1, 2)))
    return Group(*parts)


def confusion_table(
    confusion: np.ndarray,
    class_names: Sequence[str],
    width: int,
    split: str = "test",
    colours: str | None = "truecolor",
) -> "RenderableType":
    """Return the confusion matrix (C, C) int64 with cells coloured by their share of the row.

    If it does not fit into ``width`` characters, return one line per class instead, its accuracy
    and the class that it was most often mistaken for, and say what width the matrix needs.
    ``colours`` is the console's ``color_system``.
    """
    from rich.console import Group
    from rich.text import Text

    class_names = list(map(one_line, class_names))
    if not confusion_fits(confusion, class_names, width):
        by_class = class_table(confusion, class_names, {"accuracy": per_class_accuracy(confusion)})
        title = Text(f"{split} set by class", "bold")
        return Group(title, by_class, Text(), Text(left_out(confusion, class_names, width)))
    cell, label, last = _confusion_widths(confusion, class_names, width)
    names = [name[: cell - 1] for name in class_names]
    heading = f"{split} set: true class by row, prediction by column\n"
    text = Text(heading, style="", no_wrap=True)
    text.append(" " * label + "".join(f"{name:>{cell - 1}} " for name in names), style="bold")
    text.append(f"{'accuracy':>{last}}")
    shares = per_class_accuracy(confusion)
    heat = _heat(confusion, named=colours in ("standard", "windows"))
    for name, counts, styles, share in zip(names, confusion, heat, shares, strict=True):
        text.append(f"\n{name:<{label}}", style="bold")
        for count, style in zip(counts, styles, strict=True):
            text.append(f"{count or '.':>{cell - 1}} ", style=style)
        text.append(f"{percent(share):>{last}}")
    return text


def left_out(confusion: np.ndarray, class_names: Sequence[str], width: int) -> str:
    """Say that a confusion matrix is left out, because it needs more than ``width`` characters."""
    needed = _whole_width(len(confusion), *_confusion_widths(confusion, class_names, 0))
    return (
        f"The confusion matrix needs {needed} columns and is left out, as there are {width};"
        " mnistcore report draws it."
    )


def confusion_fits(confusion: np.ndarray, class_names: Sequence[str], width: int) -> bool:
    """Return whether a confusion matrix (C, C) fits into ``width`` characters."""
    widths = _confusion_widths(confusion, class_names, width)
    return _whole_width(len(confusion), *widths) <= width


def _whole_width(count: int, cell: int, label: int, last: int) -> int:
    return label + cell * count + last


def _confusion_widths(
    confusion: np.ndarray, class_names: Sequence[str], width: int
) -> tuple[int, int, int]:
    """Return the widths of a cell, a row's name and the accuracy, airy if there is room."""
    digits = len(str(confusion.max()))
    for cell, last in ((max(6, digits + 2), 11), (max(5, digits + 1), 8)):
        label = max(len(name[: cell - 1]) for name in class_names) + 1
        if _whole_width(len(confusion), cell, label, last) <= width:
            break
    return cell, label, last


def _heat(confusion: np.ndarray, named: bool) -> list[list[str]]:
    """Return the cell styles of a confusion matrix: blue on the diagonal, orange off it.

    Errors are rare, so their colour depends on the square root of their share of the row.
    ``named`` chooses among the named colours of a terminal that has only 16.
    """
    if named:
        return _named_heat(confusion)
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    errors = np.sqrt(shares * (1 - np.eye(len(confusion))))
    errors /= max(errors.max(), 1e-9)
    return [
        [
            _style(_RIGHT, shares[i, i]) if i == j else _style(_WRONG, errors[i, j])
            for j in range(len(confusion))
        ]
        for i in range(len(confusion))
    ]


def _named_heat(confusion: np.ndarray) -> list[list[str]]:
    """Black on cyan on the diagonal; off it, black on yellow for large shares and on white."""
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    errors = shares * (1 - np.eye(len(confusion)))
    many = max(errors.max() / 4, 1e-9)
    styles = [["black on yellow" if e >= many else "black on white" if e else "" for e in row]
              for row in errors]  # fmt: skip
    for i in range(len(confusion)):
        styles[i][i] = "black on cyan"
    return styles


def _style(colour: Colour, depth: float) -> str:
    """White on dark grey blended with ``colour`` by ``depth``; grey on grey if that is 0."""
    mixed = [round(a + (b - a) * depth) for a, b in zip(_DARK, colour, strict=True)]
    ink = "#ffffff" if depth else "#a0a0a0"
    return f"{ink} on #{mixed[0]:02x}{mixed[1]:02x}{mixed[2]:02x}"


def class_table(
    confusion: np.ndarray, class_names: Sequence[str], shares: Mapping[str, np.ndarray]
) -> "Table":
    """Return a table of the classes: how many images, some shares (C,) by name, the rival."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("class", "images", *shares):
        table.add_column(name, justify="right")
    table.add_column("most often taken for")
    rivals = most_often_taken_for(confusion)
    for i, name in enumerate(class_names):
        table.add_row(
            Text(name),
            f"{confusion[i].sum():,}",
            *(percent(share[i]) for share in shares.values()),
            rival_text(rivals[i], confusion[i], class_names),
        )
    return table


def most_often_taken_for(confusion: np.ndarray) -> list[int | None]:
    """Return, per true class, the class it was most often mistaken for; None without mistakes.

    ``confusion`` is (C, C) int64, true classes by row.
    """
    errors = confusion * (1 - np.eye(len(confusion), dtype=confusion.dtype))
    return [int(row.argmax()) if row.any() else None for row in errors]


def rival_text(rival: int | None, counts: np.ndarray, class_names: Sequence[str]) -> "Text":
    """Return the name of the other class and its count, such as ``7 (12)``; empty for None."""
    from rich.text import Text

    return Text("" if rival is None else f"{class_names[rival]} ({counts[rival]:,})")
