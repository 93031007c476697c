"""Tables and panels for the terminal, drawn with rich; whoever imports this wants to draw."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..models.metrics import per_class_accuracy, percent
from ..training.recipes import Recipe

if TYPE_CHECKING:
    from rich.console import Group, RenderableType
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

Colour = tuple[int, int, int]

# Blue for what is right and orange for what is wrong: colour-blind people tell them apart.
# The ground is dark on every terminal, whose own colours a program cannot know.
_DARK: Colour = (30, 32, 36)
_RIGHT: Colour = (36, 96, 168)
_WRONG: Colour = (205, 92, 0)


def facts_table(facts: Mapping[str, str]) -> "Table":
    """Names and what there is to say of them, in two columns."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, fact in facts.items():
        table.add_row(name, Text(fact))
    return table


def notice_panel(notice: str) -> "Panel":
    """What the user must know, in a frame."""
    from rich.panel import Panel
    from rich.text import Text

    return Panel(Text(notice), title="Please note", title_align="left", border_style="yellow")


def recipe_list(recipes: Mapping[str, Recipe]) -> "Group":
    """The recipes, what they are and what they set."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.text import Text

    parts: list[RenderableType] = []
    for name, recipe in recipes.items():
        settings = ", ".join(f"{key} {_spelled(value)}" for key, value in recipe.settings.items())
        parts.append(Text(name, style="bold"))
        parts.append(Padding(Text(recipe.about), (0, 0, 0, 2)))
        parts.append(Padding(Text(settings, style="dim"), (0, 0, 1, 2)))
    return Group(*parts)


def confusion_table(
    confusion: np.ndarray, class_names: Sequence[str], width: int, split: str = "test"
) -> "RenderableType":
    """The confusion matrix (C, C) with each class's accuracy, coloured by its share of the row.

    Where ``width`` characters are too few for so many classes, a line per class: its accuracy
    and what it was most often taken for.
    """
    cell, label = _confusion_widths(confusion, class_names)
    if not confusion_fits(confusion, class_names, width):
        return _class_table(confusion, class_names, split)
    from rich.text import Text

    names = [name[: cell - 1] for name in class_names]
    heading = f"{split} set: true class by row, prediction by column\n"
    text = Text(heading, style="", no_wrap=True)
    text.append(" " * label + "".join(f"{name:>{cell - 1}} " for name in names), style="bold")
    text.append(f"{'accuracy':>11}")
    shares = per_class_accuracy(confusion)
    for name, counts, styles, share in zip(names, confusion, _heat(confusion), shares, strict=True):
        text.append(f"\n{name:<{label}}", style="bold")
        for count, style in zip(counts, styles, strict=True):
            text.append(f"{count or '.':>{cell - 1}} ", style=style)
        text.append(f"{percent(share):>11}")
    return text


def confusion_fits(confusion: np.ndarray, class_names: Sequence[str], width: int) -> bool:
    """Whether the cells of a confusion matrix have room in so many characters."""
    cell, label = _confusion_widths(confusion, class_names)
    return label + cell * len(confusion) + 11 <= width


def _confusion_widths(confusion: np.ndarray, class_names: Sequence[str]) -> tuple[int, int]:
    """The characters of a cell and of a row's name."""
    cell = max(6, len(str(confusion.max())) + 2)
    return cell, max(len(name[: cell - 1]) for name in class_names) + 1


def _heat(confusion: np.ndarray) -> list[list[str]]:
    """The styles of the cells of a confusion matrix: blue on the diagonal, orange beside it.

    Errors are few, so their colour goes with the root of their share of the row.
    """
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


def _style(colour: Colour, depth: float) -> str:
    """White on a mixture of dark grey and ``colour``; grey on grey where ``depth`` is 0."""
    mixed = [round(a + (b - a) * depth) for a, b in zip(_DARK, colour, strict=True)]
    ink = "#f4f4f4" if depth else "#707070"
    return f"{ink} on #{mixed[0]:02x}{mixed[1]:02x}{mixed[2]:02x}"


def _class_table(confusion: np.ndarray, class_names: Sequence[str], split: str) -> "Table":
    from rich.table import Table
    from rich.text import Text

    title = f"{split} set by class"
    table = Table(title=title, title_style="bold", title_justify="left", box=None)
    for name in ("class", "images", "accuracy"):
        table.add_column(name, justify="right")
    table.add_column("most often taken for")
    rivals = most_often_taken_for(confusion)
    for i, share in enumerate(per_class_accuracy(confusion)):
        table.add_row(
            Text(class_names[i]),
            f"{confusion[i].sum():,}",
            percent(share),
            rival_text(rivals[i], confusion[i], class_names),
        )
    return table


def most_often_taken_for(confusion: np.ndarray) -> list[int | None]:
    """Of each true class, the other class that it was most often taken for; None where none."""
    errors = confusion * (1 - np.eye(len(confusion), dtype=confusion.dtype))
    return [int(row.argmax()) if row.any() else None for row in errors]


def rival_text(rival: int | None, counts: np.ndarray, class_names: Sequence[str]) -> "Text":
    """The other class and how often, as the tables say it."""
    from rich.text import Text

    return Text("" if rival is None else f"{class_names[rival]} ({counts[rival]:,})")


def _spelled(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
