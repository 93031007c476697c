"""A progress bar for a fit, drawn with rich."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress_bar(shown: bool, total: int) -> Iterator[Callable[[int, str], None]]:
    """Show a bar of ``total`` epochs; yields a function of the epochs done and text to show."""
    if not shown:
        yield lambda done, figures: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeElapsedColumn as Elapsed

    figures_column = TextColumn("{task.fields[figures]}")
    with Progress("epoch", MofNCompleteColumn(), BarColumn(), figures_column, Elapsed()) as bars:
        bar = bars.add_task("", total=total, figures="")
        yield lambda done, figures: bars.update(bar, completed=done, figures=figures)
