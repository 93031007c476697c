"""Draw docs/pictures/run.svg, the README's first picture: python docs/picture_of_a_run.py

It is a real run of the default recipe, recorded as the terminal would show it.
"""

import contextlib
import io
import os
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from mnistcore.runs.execution import execute
from mnistcore.runs.job import prepare
from mnistcore.terminal.training import PlainDisplay
from mnistcore.train import TrainConfig

PICTURE = Path(__file__).parent / "pictures" / "run.svg"


def main(backend: str = "numba") -> None:
    """Run, record, write the picture."""
    console = Console(record=True, width=84, file=io.StringIO(), force_terminal=True)
    console.print(f"$ python -m mnistcore.train --backend {backend}", style="bold")
    picture, data = PICTURE.resolve(), os.environ.get("MNISTCORE_DATA_DIR")
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        if data:  # shown as the folder that a reader would have
            Path("data").symlink_to(data)
            del os.environ["MNISTCORE_DATA_DIR"]
        with PlainDisplay(console) as display:
            job = prepare(TrainConfig(backend=backend, data="mnist", output="runs/first"))
            display.started(job)
            display.finished(execute(job, display))
    picture.parent.mkdir(exist_ok=True)
    picture.write_text(console.export_svg(title="mnistcore"), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
