"""Run the notebooks, each from a clean kernel: to save what they show, or to check what is saved.

    python notebooks/rerun.py [NAME ...]            compare with the saved outputs; 1 if they differ
    python notebooks/rerun.py --write [NAME ...]    run and save

Outputs are compared in kind. A cell must give the same texts and the same kinds of pictures as it
gave when it was saved, where colours and numbers may differ, but percentages only by a few points.
In cells with the tag "varies", whose words depend on the machine or on timing, only the kinds are
compared. Without MNIST the saved outputs are those of other data: the notebooks only run.
"""

import argparse
import difflib
import re
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

from mnistcore.data import load_data

FOLDER = Path(__file__).parent
POINTS = 3.0  # by which a percentage may differ
_STYLE = re.compile(r"\x1b\[[\d;]*m")  # the escape sequences of bold, dim and colours
_PERCENT = re.compile(r"(\d+(?:\.\d+)?) ?%")
_NUMBER = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="such as 01_data (default: all)")
    parser.add_argument("--write", action="store_true", help="save the notebooks as they ran")
    arguments = parser.parse_args()
    comparable = load_data().name == "mnist"
    if not comparable:
        print("MNIST is not here: the notebooks only run, and nothing is compared or saved")
    stale = 0
    for path in sorted(FOLDER.glob("*.ipynb")):
        if arguments.names and path.stem not in arguments.names:
            continue
        started = time.perf_counter()
        saved = nbformat.read(path, 4)
        fresh = rerun(path)
        print(f"{path.name}: ran in {time.perf_counter() - started:.0f} s", flush=True)
        if not comparable:
            continue
        if arguments.write:
            nbformat.write(fresh, path)
            continue
        for difference in differences(saved, fresh):
            stale += 1
            print(f"{path.name}: {difference}", file=sys.stderr)
    if stale:
        print(f"{stale} cells differ; look at them, then save with --write", file=sys.stderr)
    return 1 if stale else 0


def rerun(path: Path) -> Any:
    """Return the notebook with the outputs of a run from a clean kernel."""
    notebook = nbformat.read(path, 4)
    client = NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        record_timing=False,  # no times of day in the file
        extra_arguments=["--log-level=ERROR"],
        resources={"metadata": {"path": str(path.parent)}},
    )
    client.execute()
    notebook.metadata.language_info = {"name": "python"}  # no version of a machine's Python
    return notebook


def differences(saved: Any, fresh: Any) -> list[str]:
    """Describe the cells whose outputs differ in kind."""
    found = []
    for number, (old, new) in enumerate(zip(saved.cells, fresh.cells, strict=True), 1):
        if old.cell_type != "code":
            continue
        varies = "varies" in old.metadata.get("tags", ())
        was, now = _shown(old, varies), _shown(new, varies)
        if was != now:
            lines = difflib.unified_diff(was, now, "saved", "now", lineterm="", n=0)
            found.append(f"cell {number} shows something else\n" + "\n".join(lines))
        elif not varies and (apart := _farthest(old, new)) > POINTS:
            found.append(f"cell {number} shows a percentage that is {apart:.1f} points off")
    return found


def _shown(cell: Any, varies: bool) -> list[str]:
    """Return the lines that a cell printed, numbers replaced, and the kinds of its pictures."""
    pictures = sorted(
        kind
        for output in cell.outputs
        for kind in output.get("data", ())
        if kind.startswith("image/")
    )
    text = _text(cell)
    if varies:
        return [*pictures, "some text" if text else "no text"]
    lines = (_NUMBER.sub("#", line) for line in text.splitlines())
    return [*pictures, *(re.sub(r"#+", "#", " ".join(line.split())) for line in lines)]


def _text(cell: Any) -> str:
    """Return everything that a cell printed or displayed as text."""
    parts = []
    for output in cell.outputs:
        if output.output_type == "stream":
            parts.append(output.text)
        elif output.output_type == "error":
            parts.append(output.evalue)
        elif not any(kind.startswith("image/") for kind in output.data):
            parts.append(output.data.get("text/markdown", output.data.get("text/plain", "")))
    return _STYLE.sub("", "".join(parts))


def _farthest(old: Any, new: Any) -> float:
    """Return the largest difference between percentages at the same place."""
    pairs = zip(_PERCENT.findall(_text(old)), _PERCENT.findall(_text(new)), strict=False)
    return max((abs(float(was) - float(now)) for was, now in pairs), default=0.0)


if __name__ == "__main__":
    sys.exit(main())
