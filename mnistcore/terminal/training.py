"""Displays of a training run: a live bar on a terminal, plain lines elsewhere, JSON, or quiet.

A display is both a listener of the run and a context manager around it. It computes no results:
all figures come from the run's records and its summary.
"""

import shlex
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..kernels.blas import threads_of
from ..models.metrics import percent
from ..runs.checkpoints import files
from ..system.text import counted
from ..training.recipes import RECIPES
from ..training.records import EpochRecord, Listener, Progress
from .display import Screen, choose, print_json
from .tables import confusion_table, facts_table, notice_panel, recipe_list

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from ..runs.execution import TrainResult
    from ..runs.job import Job
    from ..training.config import TrainConfig


class Display(Screen, Listener):
    """Base class of the displays; prints only the notices, to stderr."""

    def started(self, job: "Job") -> None:
        """Called when the data is loaded and training is about to begin."""
        for notice in job.notices:
            print(notice, file=sys.stderr)

    def finished(self, result: "TrainResult") -> None:
        """Called when the run is over and its folder is written."""

    def reported(self, path: Path) -> None:
        """Called when the HTML report is written to ``path``."""

    def advise(self, result: "TrainResult", reported: bool) -> None:
        """Called at the end of a run that has not diverged."""


class QuietDisplay(Display):
    """Prints one line at the end."""

    def finished(self, result: "TrainResult") -> None:
        print(last_line(result))


class JsonDisplay(Display):
    """Prints the summary and the path of the run folder as JSON at the end."""

    def finished(self, result: "TrainResult") -> None:
        print_json({**result.summary, "run_folder": str(result.folder.path)})


class PlainDisplay(Display):
    """Prints a line per epoch and the results at the end, without moving the cursor."""

    shows_progress = True

    def __init__(self, console: "Console") -> None:
        self._console = console
        self._epochs = 0
        self._samples = 0

    def started(self, job: "Job") -> None:
        self._epochs = job.config.epochs
        self._samples = len(job.train_indices)
        for notice in job.notices:
            self._console.print(notice_panel(notice))
        self._console.print(facts_table(_intentions(job)))
        self._console.print()

    def preparing(self, backend: str, compiling: bool) -> None:
        if compiling:
            self._line(preparing_line(backend, compiling))

    def epoch_done(self, record: EpochRecord) -> None:
        narrow = self._console.is_terminal and self._width < 80
        self._line(epoch_line(record, self._epochs, self._samples, narrow))

    def finished(self, result: "TrainResult") -> None:
        matrix = result.summary["confusion_matrix"]
        if matrix is not None:
            names, colours = result.model.class_names, self._console.color_system
            self._show(confusion_table(np.array(matrix), names, self._width, colours=colours))
        self._show(facts_table(_figures(result)))

    def reported(self, path: Path) -> None:
        self._line(f"{'report':<15}{path}")

    def advise(self, result: "TrainResult", reported: bool) -> None:
        """Print commands to go on with."""
        name = shlex.quote(str(result.folder.path))
        self._line("\nnext:")
        if result.signal and files(result.folder.path):
            self._line(f"  mnistcore train --resume {name}")
        self._line(f"  mnistcore evaluate {name}")
        if not reported:
            self._line(f"  mnistcore report {name}")
        self._line(f"  mnistcore predict {name} photo.jpg")
        self._line(f"  mnistcore export {name} --to onnx")

    @property
    def _width(self) -> int:
        return self._console.width

    def _line(self, text: str) -> None:
        """Print one line without wrapping: files and pipes have no width."""
        self._console.print(text, soft_wrap=True, highlight=False)

    def _show(self, table: "RenderableType") -> None:
        self._console.print()
        self._console.print(table)


class LiveDisplay(PlainDisplay):
    """Shows a progress bar for the current epoch, below the lines of the finished ones."""

    def __init__(self, console: "Console") -> None:
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as Bars

        super().__init__(console)
        epoch, figures = TextColumn("{task.description}"), TextColumn("{task.fields[figures]}")
        self._bars = Bars(
            epoch, BarColumn(None), figures, console=console, expand=True, transient=True
        )
        self._bar = self._bars.add_task("", figures="", visible=False)
        self._status = console.status("")
        self._preparing = ""
        self._began = self._share_before = 0.0
        self._last: EpochRecord | None = None

    def started(self, job: "Job") -> None:
        super().started(job)
        self._share_before = _share_before(job)

    def restore(self) -> None:
        self._status.stop()
        self._bars.stop()

    def preparing(self, backend: str, compiling: bool) -> None:
        self._preparing = preparing_line(backend, compiling)
        self._status.update(self._preparing)
        self._status.start()

    def compiling(self, what: str) -> None:
        self._status.update(f"{self._preparing}: {what}")

    def prepared(self) -> None:
        self._status.stop()
        self._began = time.perf_counter()
        self._bars.start()

    def slice_done(self, progress: Progress) -> None:
        self._bars.update(
            self._bar,
            description=_epoch(progress.epoch, self._epochs),
            completed=progress.samples_done,
            total=progress.samples,
            figures=self._running_figures(progress),
            visible=True,
        )

    def epoch_done(self, record: EpochRecord) -> None:
        self._last = record
        self._bars.update(
            self._bar, description=_epoch(record.epoch + 1, self._epochs), completed=0
        )
        super().epoch_done(record)

    def finished(self, result: "TrainResult") -> None:
        self._bars.stop()
        super().finished(result)

    def _running_figures(self, progress: Progress) -> str:
        share = (progress.epoch - 1 + progress.samples_done / progress.samples) / self._epochs
        done = max(share - self._share_before, 1e-9)
        left = (time.perf_counter() - self._began) * (1 - share) / done
        parts = [f"loss {progress.loss:.4f}", f"train {percent(progress.accuracy)}"]
        if self._width >= 80:
            parts.insert(0, f"{progress.samples_per_second:,.0f}/s")
        validated = self._last.validation_accuracy if self._last else None
        if validated is not None and self._width >= 100:
            parts.append(f"validation {percent(validated)}")
        return "  ".join([*parts, f"{_clock(left)} left"])


def choose_display(quiet: bool, as_json: bool) -> Display:
    """Choose a display by the flags, and by whether stdout is a terminal."""
    silent = JsonDisplay() if as_json else QuietDisplay() if quiet else None
    return choose(silent, LiveDisplay, PlainDisplay)


def print_recipes() -> None:
    """Print the recipes and their settings."""
    from ..system.console import Console

    Console().print(recipe_list(RECIPES))


def preparing_line(backend: str, compiling: bool) -> str:
    """Return the line that is shown while kernels are compiled or loaded."""
    return (
        f"compiling the {backend} kernels (first run only)"
        if compiling
        else f"loading the {backend} kernels"
    )


def epoch_line(record: EpochRecord, epochs: int, samples: int, narrow: bool = False) -> str:
    """Summarise an epoch in a line of at most 80 columns; ``samples`` gives its speed.

    A ``narrow`` line has neither the seconds nor the speed, and at most 60 columns.
    """
    parts = [
        _epoch(record.epoch, epochs),
        f"loss {record.train_loss:.4f}",
        f"train {percent(record.train_accuracy)}",
    ]
    if record.validation_accuracy is not None:
        parts.append(f"validation {percent(record.validation_accuracy)}")
    if narrow:
        return "  ".join(parts)
    speed = samples / max(record.seconds, 1e-9)
    return "  ".join([*parts, f"{record.seconds:.2f} s", f"{speed:,.0f}/s"])


def last_line(result: "TrainResult") -> str:
    """Summarise a run in one line."""
    summary = result.summary
    how = "" if summary["outcome"] == "finished" else f"{summary['outcome']}; "
    if summary["test_accuracy"] is not None:
        how += f"test accuracy {percent(summary['test_accuracy'])}, "
        how += f"test loss {summary['test_loss']:.4f}, "
    epochs = f"{counted(summary['epochs_run'], 'epoch')} in {summary['train_seconds']:.2f} s"
    return f"{how}{epochs}, {result.folder.path}"


def _intentions(job: "Job") -> Mapping[str, str]:
    """The facts shown before training: network, optimizer, data and backend."""
    config, dataset = job.config, job.dataset
    images = f"{len(job.train_indices):,} images"
    if len(job.validation_indices):
        images += f", {len(job.validation_indices):,} for validation"
    return {
        "network": str(job.network),
        "training": f"{config.optimizer}, learning rate {config.learning_rate:g}"
        f" ({config.schedule}), batches of {config.batch_size}, {counted(config.epochs, 'epoch')}",
        **_teachers(config),
        "data": f"{dataset.name}: {images}, {len(dataset.test_labels):,} for the test",
        "from": dataset.source,
        **_pixels(dataset.pixel_max, config.standardize),
        **_continued(job),
        "backend": job.backend + _threads(job),
    }


def _share_before(job: "Job") -> float:
    """Return the share of a run that was trained before it goes on."""
    if job.past is None or job.past.checkpoint is None:
        return 0.0
    counts = job.past.checkpoint.counts
    part = counts["epoch_steps"] * job.config.batch_size / len(job.train_indices)
    return max(counts["epoch"] - 1 + min(part, 1.0), 0.0) / job.config.epochs


def _continued(job: "Job") -> Mapping[str, str]:
    """Where a run goes on, if it does."""
    if job.past is None:
        return {}
    checkpoint = job.past.checkpoint
    done = f"after step {checkpoint.counts['step']:,}" if checkpoint else "from the beginning"
    return {"goes on": f"{done}, in {job.past.folder.path}"}


def _teachers(config: "TrainConfig") -> Mapping[str, str]:
    """What is learned from other networks, if anything is."""
    if not config.teacher:
        return {}
    how = f"temperature {config.teacher_temperature:g}, weight {config.teacher_weight:g}"
    return {"teachers": f"{', '.join(config.teacher)}: {how}"}


def _pixels(pixel_max: float, standardized: bool) -> Mapping[str, str]:
    """How pixels are scaled, if their maximum is not the usual 255."""
    if pixel_max == 255:
        return {}
    how = "standardised" if standardized else f"divided by {pixel_max:g}"
    return {"pixels": f"up to {pixel_max:g}, not 255, and {how}"}


def _threads(job: "Job") -> str:
    threads = threads_of(job.backend, job.config.threads)
    return f", {'up to ' * (threads > 1)}{counted(threads, 'thread')}"


def _figures(result: "TrainResult") -> Mapping[str, str]:
    """The facts shown after training: test results, speed and run folder."""
    summary = result.summary
    figures = {}
    if summary["test_accuracy"] is not None:
        figures["test accuracy"] = percent(summary["test_accuracy"])
        figures["test loss"] = f"{summary['test_loss']:.4f}"
    if summary["outcome"] != "finished":
        figures["outcome"] = _outcome(result)
    figures["training"] = (
        f"{summary['train_seconds']:.2f} s, {counted(summary['epochs_run'], 'epoch')},"
        f" {summary['samples_per_second']:,.0f} samples/s"
    )
    figures["in all"] = f"{summary['total_seconds']:.2f} s"
    figures["run folder"] = str(result.folder.path)
    return figures


def _outcome(result: "TrainResult") -> str:
    best = result.summary["best_epoch"]
    kept = f"the weights of epoch {best} are kept" if best else "the latest weights are kept"
    return f"{result.summary['outcome']}; {kept}"


def _epoch(epoch: int, epochs: int) -> str:
    return f"epoch {epoch:>{len(str(epochs))}}/{epochs}"


def _clock(seconds: float) -> str:
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
