"""``python -m mnistcore.ladder.backprop``: check every step's derivatives, then train."""

import inspect
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ...data import Dataset, load_data
from ...terminal.command_line import (
    BAD_RESULT,
    DONE,
    CommandError,
    Parser,
    run_command,
    user_errors,
)
from . import steps
from .differences import TOLERANCE, Gradient
from .lessons import STEPS, Step, measure

if TYPE_CHECKING:
    from rich.console import Console

HIDDEN, BATCH_SIZE, LEARNING_RATE, EPOCHS = (128, 64), 32, 0.1, 5


def run(seed: int = 0) -> dict[str, list[Gradient]]:
    """Return each step's derivatives beside central differences, by the name of the step."""
    return {step.name: measure(step, seed) for step in STEPS}


def train(
    dataset: Dataset, epochs: int = EPOCHS, seed: int = 0, say: Callable[[str], None] = print
) -> float:
    """Train a network with the functions of the steps, and return its accuracy on the test images.

    Pixels become numbers from 0 to 1. ``say`` is called with a line after each epoch.
    """
    x, test_x = (
        images.reshape(len(images), -1).astype(np.float32) / np.float32(dataset.pixel_max)
        for images in (dataset.train_images, dataset.test_images)
    )
    rng = np.random.default_rng(seed)
    params = steps.init((x.shape[1], *HIDDEN, len(dataset.class_names)), rng)
    accuracy = 0.0
    for epoch in range(1, epochs + 1):
        began = time.perf_counter()
        loss = steps.train_epoch(params, x, dataset.train_labels, BATCH_SIZE, LEARNING_RATE, rng)
        seconds = time.perf_counter() - began
        accuracy = float(np.mean(steps.predict(params, test_x) == dataset.test_labels))
        say(f"epoch {epoch}   loss {loss:.3f}   test accuracy {accuracy:.2%}   {seconds:.1f} s")
    return accuracy


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 1 if a derivative is wrong."""
    return run_command("ladder backprop", _main, argv)


def _main(argv: Sequence[str]) -> int:
    arguments = _parser().parse_args(argv)
    for name in ("epochs", "seed"):
        if getattr(arguments, name) < 0:
            raise CommandError(f"--{name} must be at least 0, got {getattr(arguments, name)}")

    from ...system.console import Console

    console = Console(highlight=False, markup=True)
    if arguments.explain is not None:
        _explain(STEPS[arguments.explain - 1], console)
        return DONE
    found = run(arguments.seed)
    _show(found, console)
    if any(not one.error <= TOLERANCE for gradients in found.values() for one in gradients):
        return BAD_RESULT
    if arguments.epochs:
        _train(arguments.data, arguments.epochs, arguments.seed, console)
    return DONE


def _parser() -> Parser:
    parser = Parser(
        "ladder backprop",
        "Check the derivatives of each step of back-propagation against central differences, then"
        " train a network with them.",
    )
    parser.add_argument(
        "--explain",
        type=int,
        choices=range(1, len(STEPS) + 1),
        metavar="STEP",
        help=f"show the derivation and the code of a step, 1 to {len(STEPS)}, and nothing else",
    )
    parser.add_argument(
        "--epochs",
        type=int,
        default=EPOCHS,
        help=f"passes over the training images; 0 only checks (default: {EPOCHS})",
    )
    parser.add_argument(
        "--data", default="auto", help="a data set, as of `mnistcore train` (default: auto)"
    )
    parser.add_argument("--seed", type=int, default=0, help="random seed (default: 0)")
    return parser


def _explain(step: Step, console: "Console") -> None:
    from rich.syntax import Syntax

    code = "\n\n".join(inspect.getsource(function) for function in step.functions)
    console.print(
        Syntax(code, "python", theme="ansi_dark", background_color="default", word_wrap=True)
    )


def _show(found: dict[str, list[Gradient]], console: "Console") -> None:
    from rich.table import Table

    lines = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading, side in (("step", "left"), ("derivatives", "right"), ("error", "right")):
        lines.add_column(heading, justify=side)  # type: ignore[arg-type]
    lines.add_column()
    for number, (name, gradients) in enumerate(found.items(), 1):
        worst = max(gradients, key=lambda gradient: gradient.error)
        right = worst.error <= TOLERANCE
        verdict = "[green]right[/]" if right else f"[bold red]WRONG[/]: {worst.complaint()}"
        count = sum(gradient.measured.size for gradient in gradients)
        lines.add_row(f"{number} {name}", f"{count}", f"{worst.error:.0e}", verdict)
    console.print(lines)
    console.print(f"\nrelative errors, from central differences; right is below {TOLERANCE:.0e}")


def _train(data: str, epochs: int, seed: int, console: "Console") -> None:
    with user_errors():
        dataset = load_data(data, progress=True)
    if dataset.notice:
        console.print(f"\n{dataset.notice}", markup=False)
    sizes = (dataset.train_images[0].size, *HIDDEN, len(dataset.class_names))
    console.print(
        f"\n{'-'.join(map(str, sizes))}, {len(dataset.train_images):,} images of {dataset.name},"
        f" batches of {BATCH_SIZE}, learning rate {LEARNING_RATE}",
        markup=False,
    )
    train(dataset, epochs, seed, console.print)
