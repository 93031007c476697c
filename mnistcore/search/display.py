"""Displays of a search: a live table on a terminal, a line per trial elsewhere, JSON, or quiet."""

import math
import sys
import textwrap
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..models.metrics import percent
from ..system.text import counted
from ..terminal.display import Screen, choose, print_json
from ..terminal.tables import facts_table, notice_panel
from ..terminal.training import preparing_line
from .preparation import Search, SearchListener
from .results import SearchResult, Standing, TrialRecord
from .space import worded

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

    from .config import Plan

_SHOWN = 10  # trials in the final table
_INDENT = 7  # of what continues a line: below the column after the number


class SearchDisplay(Screen, SearchListener):
    """Base class of the displays; prints only the notices, to stderr."""

    def started(self, search: Search) -> None:
        for notice in search.job.notices:
            print(notice, file=sys.stderr)


class QuietDisplay(SearchDisplay):
    """Prints one line at the end."""

    def finished(self, result: SearchResult) -> None:
        print(last_line(result))


class JsonDisplay(SearchDisplay):
    """Prints the summary as JSON at the end."""

    def finished(self, result: SearchResult) -> None:
        print_json({**result.summary(), "folder": str(result.folder)})


class PlainDisplay(SearchDisplay):
    """Prints a line per finished trial and tables at the end, without moving the cursor."""

    shows_progress = True

    def __init__(self, console: "Console") -> None:
        self._console = console
        self._told: set[int] | None = None
        self._wanted = 0

    def started(self, search: Search) -> None:
        self._wanted = search.plan.n_trials
        for notice in search.job.notices:
            self._console.print(notice_panel(notice))
        self._console.print(facts_table(_intentions(search)))
        self._console.print()

    def preparing(self, backend: str, compiling: bool) -> None:
        if compiling:
            self._line(preparing_line(backend, compiling))

    def looked(self, standing: Standing) -> None:
        if self._told is None:
            self._told = {record.number for record in standing.finished}
            if self._told:
                self._line(f"resuming with {counted(len(self._told), 'finished trial')}")
        for record in standing.finished:
            if record.number not in self._told:
                self._told.add(record.number)
                told = [r for r in standing.finished if r.number in self._told]
                best = Standing(told, [], 0).winner  # of the lines so far: several may end at once
                self._line(trial_line(record, self._wanted, len(told), best))

    def training_winner(self, result: SearchResult) -> None:
        self._line(f"training the winner, trial {result.winner.number}, to test it")

    def finished(self, result: SearchResult) -> None:
        self._console.print()
        self._console.print(best_table(result.standing, self._console.width))
        if result.importances:
            self._console.print()
            letters = self._console.options.ascii_only
            self._console.print(importance_table(result.importances, letters))
        self._console.print()
        self._console.print(facts_table(_figures(result)))

    def _line(self, text: str) -> None:
        self._console.print(text, soft_wrap=True, highlight=False)


class LiveDisplay(PlainDisplay):
    """Shows the running trials, the progress and the best trial so far, redrawn in place."""

    def __init__(self, console: "Console") -> None:
        from rich.live import Live

        super().__init__(console)
        self._live = Live(console=console, transient=True, refresh_per_second=4)
        self._status = console.status("")
        self._preparing = ""
        self._began = time.monotonic()
        self._first: int | None = None

    def restore(self) -> None:
        self._status.stop()
        self._live.stop()

    def preparing(self, backend: str, compiling: bool) -> None:
        self._preparing = preparing_line(backend, compiling)
        self._status.update(self._preparing)
        self._status.start()

    def compiling(self, what: str) -> None:
        self._status.update(f"{self._preparing}: {what}")

    def prepared(self) -> None:
        self._status.stop()

    def _line(self, text: str) -> None:
        """Print a line, wrapped between words and indented if the terminal is narrow."""
        width = max(self._console.width, 2 * _INDENT)
        wrapped = textwrap.fill(text, width, subsequent_indent=" " * _INDENT, tabsize=1)
        self._console.print(wrapped, soft_wrap=True, highlight=False)

    def working(self, pids: Sequence[int]) -> None:
        self._began = time.monotonic()
        self._live.start()

    def looked(self, standing: Standing) -> None:
        super().looked(standing)
        done = len(standing.finished)
        self._first = done if self._first is None else self._first
        left = self._left(done)
        width, height = self._console.size
        self._live.update(live_view(standing, self._wanted, left, width, height))

    def _left(self, done: int) -> float:
        """Estimate the remaining seconds from the pace so far; NaN before any trial is done."""
        computed = done - (self._first or 0)
        if not computed:
            return math.nan
        return (time.monotonic() - self._began) * (self._wanted - done) / computed

    def training_winner(self, result: SearchResult) -> None:
        self._live.stop()
        self._status.update(f"training the winner, trial {result.winner.number}, to test it")
        self._status.start()


def choose_display(quiet: bool, as_json: bool) -> SearchDisplay:
    """Choose a display by the flags, and by whether stdout is a terminal."""
    silent = JsonDisplay() if as_json else QuietDisplay() if quiet else None
    return choose(silent, LiveDisplay, PlainDisplay)


def live_view(
    standing: Standing, wanted: int, seconds_left: float, width: int, height: int = 50
) -> "RenderableType":
    """Return a view of the running trials, the best so far, and a progress bar.

    ``wanted`` is the number of trials of the whole search. The view is at most ``width``
    characters wide, and shows as many running trials as leave room for the rest in ``height``
    lines.
    """
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    done = len(standing.finished)
    counts = f"{done}/{wanted} trials"
    if standing.pruned:
        counts += f", {standing.pruned} pruned"
    if standing.lost:
        counts += f", {standing.lost} lost"
    if math.isfinite(seconds_left) and done < wanted:
        counts += f", about {_duration(seconds_left)} left"
    bar = Table.grid(padding=(0, 2), expand=True)
    bar.add_column(ratio=1)
    bar.add_column(justify="right", overflow="fold")
    bar.add_row(ProgressBar(total=max(wanted, 1), completed=min(done, wanted)), counts)
    below: list[RenderableType] = [bar]
    best = standing.winner
    if best is not None:
        line = Text("best so far ", style="bold")
        line.append(
            f"{percent(best.accuracy)}  trial {best.number}: {spelled(best.point)}", "not bold"
        )
        below = [Text(""), line, bar]
    room = height - 1 - _lines(Group(*below), width)  # 1: an empty line on top
    return Group(Text(""), *_running(standing.running, width, room), *below)


def _running(records: Sequence[TrialRecord], width: int, room: int) -> Sequence["RenderableType"]:
    """Return a table of running trials in at most ``room`` lines, and how many do not fit."""
    from rich.text import Text

    for shown in range(len(records), 0, -1):
        parts: list[RenderableType] = [trial_table(records[:shown], "running", width)]
        if shown < len(records):
            parts.append(Text(f"and {len(records) - shown} more", style="dim"))
        if sum(_lines(part, width) for part in parts) <= room:
            return parts
    return [Text(f"{len(records)} running")] if records else []


def _lines(what: "RenderableType", width: int) -> int:
    from ..system.console import Console

    console = Console(width=width)
    return len(console.render_lines(what, console.options))


def best_table(standing: Standing, width: int) -> "RenderableType":
    """Return a table of the best trials, the winner first, at most ``width`` characters wide."""
    ranked = standing.ranked()
    title = "trials" if len(ranked) <= _SHOWN else f"the best {_SHOWN} of {len(ranked)} trials"
    return trial_table(ranked[:_SHOWN], title, width)


def trial_table(records: Sequence[TrialRecord], title: str, width: int) -> "RenderableType":
    """Return a table of trials with a column per parameter; if too wide, values below each."""
    names = list(dict.fromkeys(name for record in records for name in record.point))
    table = _table(title)
    for name in names:
        numbers = not any(isinstance(record.point.get(name), str) for record in records)
        head = name.replace("_", "\n")
        table.add_column(head, justify="right" if numbers else "left", no_wrap=True)
    table.add_column("", no_wrap=True)
    for record in records:
        values = [_value(record.point[name]) if name in record.point else "" for name in names]
        _add(table, record, values)
    if _width(table) <= width:
        return table
    return _trial_lines(records, title)


def _trial_lines(records: Sequence[TrialRecord], title: str) -> "RenderableType":
    """Return a line per trial, with its values below, indented and wrapped between words."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.text import Text

    parts: list[RenderableType] = [
        Text(title, style="bold"),
        Text("trial  validation", style="bold"),
    ]
    for record in records:
        head = f"{record.number:>5}  {percent(record.accuracy):>10}  {_course(record)}"
        parts.append(Text(head, style="dim" if record.state == "pruned" else ""))
        parts.append(Padding(Text(spelled(record.point), style="dim"), (0, 0, 0, _INDENT)))
    return Group(*parts)


def _table(title: str) -> "Table":
    from rich.table import Table

    table = Table(
        title=title, title_style="bold", title_justify="left", box=None, pad_edge=False,
        padding=(0, 2, 0, 0),
    )  # fmt: skip
    table.add_column("trial", justify="right", no_wrap=True)
    table.add_column("validation", justify="right", no_wrap=True)
    return table


def _add(table: "Table", record: TrialRecord, values: Sequence[str]) -> None:
    style = "dim" if record.state == "pruned" else ""
    accuracy = percent(record.accuracy)
    table.add_row(str(record.number), accuracy, *values, _course(record), style=style)


def _width(table: "Table") -> int:
    """Return the width of a table in characters if nothing is cut off."""
    from ..system.console import Console

    return Console(width=10_000).measure(table).maximum


def importance_table(importances: Mapping[str, float], letters: bool) -> "Table":
    """Return a table with a bar for each parameter's share of the importance, or ``letters``."""
    from rich.bar import Bar
    from rich.table import Table

    table = Table(
        title="what mattered (PED-ANOVA)", title_style="bold", title_justify="left", box=None,
        show_header=False, pad_edge=False,
    )  # fmt: skip
    table.add_column()
    table.add_column()
    table.add_column(justify="right")
    for name, share in importances.items():
        bar = Bar(1, 0, share, width=40, color="blue") if not letters else "#" * round(40 * share)
        table.add_row(name.replace("_", " "), bar, f"{100 * share:.0f} %")
    return table


def trial_line(record: TrialRecord, wanted: int, done: int, winner: TrialRecord | None) -> str:
    """Summarise a finished trial in one line; ``winner`` is the best one so far."""
    mark = "  best so far" if winner is not None and winner.number == record.number else ""
    digits = len(str(wanted))
    return (
        f"trial {record.number:>{digits}}  {percent(record.accuracy)}  {_course(record)}{mark}"
        f"  {spelled(record.point)}  ({done} of {wanted} done)"
    )


def last_line(result: SearchResult) -> str:
    """Summarise a search in one line."""
    test = f"test accuracy {percent(result.test.get('accuracy'))}, " if result.test else ""
    winner, trials = result.winner, len(result.standing.finished)
    return (
        f"{test}validation {percent(winner.accuracy)}, trial {winner.number}, the best of"
        f" {trials}, in {_duration(result.seconds)}, {result.folder}"
    )


def spelled(point: Mapping[str, Any]) -> str:
    """Format a point, leaving out the name where the value is a word such as relu."""
    words = []
    for name, value in point.items():
        bare = isinstance(value, str) and value.isalpha()
        words.append(value if bare else f"{name.replace('_', ' ')} {_value(value)}")
    return ", ".join(words)


def _value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else worded(value)


def _course(record: TrialRecord) -> str:
    """Return how long a trial took, or how far it got if it did not complete."""
    if record.state == "running":
        return f"{record.step} {record.reports}" if record.reports else "begun"
    if record.state == "pruned":
        return f"pruned, {record.step} {record.reports}" if record.reports else "diverged"
    return f"{record.seconds:.1f} s"


def _duration(seconds: float) -> str:
    minutes, second = divmod(round(seconds), 60)
    return f"{minutes} min {second} s" if minutes else f"{second} s"


def _intentions(search: Search) -> Mapping[str, str]:
    """The facts shown before a search: sampler, space, data, workers and storage."""
    plan, dataset = search.plan, search.job.dataset
    config = plan.config
    judged = f"{config.folds} folds" if config.folds else "one validation split"
    facts = {
        "search": f"{config.sampler}, {plan.n_trials} trials, pruner {config.pruner},"
        f" judged by {judged}",
        "space": "; ".join(plan.space.describe()),
        "data": f"{dataset.name}: {len(dataset.train_labels):,} images to train and validate,"
        f" {len(dataset.test_labels):,} to test the winner",
        "workers": _workers(plan) + f", backend {search.job.backend}",
        "study": f"{config.study}, in {search.storage_name}",
        "output": str(search.folder),
    }
    if not search.plan.train:
        return facts
    fixed = ", ".join(f"{name} {_plain(value)}" for name, value in plan.train.items())
    return {**facts, "fixed": fixed}


def _plain(value: Any) -> str:
    return "-".join(map(str, value)) if isinstance(value, list | tuple) else worded(value)


def _workers(plan: "Plan") -> str:
    from .pool import shares_of

    threads = shares_of(plan)
    low, high = min(threads), max(threads)
    others = "" if low == high else f"{low} or "
    return f"{len(threads)}, with {others}{counted(high, 'thread')} each"


def _figures(result: SearchResult) -> Mapping[str, str]:
    """The facts shown after a search: trials, winner, test result and files."""
    standing, winner = result.standing, result.winner
    counts = f"{len(standing.finished)} finished, {standing.pruned} of them pruned"
    facts = {
        "trials": counts + (f", {standing.lost} lost and tried again" if standing.lost else ""),
        "winner": f"trial {winner.number}: {spelled(winner.point)}",
        "validation": f"accuracy {percent(winner.accuracy)}",
    }
    if result.test:
        facts["test"] = f"accuracy {percent(result.test['accuracy'])}"
        facts["model"] = f"{result.test['run_folder']} on {result.test['machine']}"
    facts["in all"] = _duration(result.seconds)
    facts["results"] = f"{result.folder}: best.toml, trials.csv, summary.json, figures"
    return facts
