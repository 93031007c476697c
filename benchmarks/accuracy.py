"""The test accuracy of recipes with every backend and seed, as a table and as JSON.

    python -m benchmarks.accuracy --recipes fast plain --output benchmarks/results/accuracy.json

Each training is a process of its own, whose whole time is taken. The test set is used once for
each seed, at the end of its run. No choice depends on it. Figures that the file has of other
recipes, backends and seeds stay, but those of a recipe whose settings have changed since go.

Trainings of hours may be done in parts: with ``--keep``, one that was ended goes on from its last
checkpoint, and one that is over is not trained again. Its time is that of all its parts, its
number of threads that of the last; this number changes nothing but the time.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

from mnistcore.training.recipes import COMMON, RECIPES

SHORT = ("tanh-10-10", "relu-two-hidden", "relu-1024-128", "fast", "fast-99")
COLUMNS = ("recipe", "backend", "seeds", "mean", "sd", "lowest", "highest", "threads", "seconds")
PER_SEED = ("seeds", "test_accuracies", "threads", "seconds")


def completed(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as JSON has them, with those options that came later."""
    everything: dict[str, Any] = json.loads(json.dumps({**COMMON, **settings}))
    return everything


def train(*flags: str) -> float:
    """Train in a new process; return the seconds from its start to its end."""
    command = [sys.executable, "-m", "mnistcore.train", "--quiet", *flags]
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def run(recipe: str, backend: str, seed: int, data: str, folder: Path) -> dict[str, Any]:
    """Train unless the folder has such a run that is over; return the summary and the seconds."""
    if (folder / "config.json").exists():
        return go_on(recipe, folder)
    flags = ["--recipe", recipe, "--backend", backend, "--seed", str(seed), "--data", data]
    seconds = train(*flags, "--output", str(folder))
    return {**summary_of(folder), "seconds": seconds}


def go_on(recipe: str, folder: Path) -> dict[str, Any]:
    """Finish a training that was ended, if it was; return the summary and the seconds of all."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    settings = completed(RECIPES[recipe].settings)
    if {name: completed(config)[name] for name in settings} != settings:
        raise ValueError(f"{folder}: is not of the settings that the recipe {recipe} has now")
    if not (folder / "summary.json").exists() or summary_of(folder)["interrupted"]:
        train("--resume", str(folder))
    summary = summary_of(folder)
    return {**summary, "seconds": summary["total_seconds"]}


def summary_of(folder: Path) -> dict[str, Any]:
    """Return the summary of a run."""
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    return summary


def measure(recipe: str, backend: str, seed: int, data: str, keep: str | None) -> dict[str, Any]:
    """Train a recipe; return what is in the file of it: lists with a place for each seed."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(keep or scratch, f"{recipe}-{backend}-{seed}")
        summary = run(recipe, backend, seed, data, folder)
    accuracy, seconds = summary["test_accuracy"], round(summary["seconds"], 2)
    print(f"{recipe} {backend} seed {seed}: {accuracy:.2%}, {seconds:.2f} s", flush=True)
    return {
        "recipe": recipe,
        "settings": completed(RECIPES[recipe].settings),
        "backend": backend,
        "data": summary["data"],
        "seeds": [seed],
        "test_accuracies": [accuracy],
        "threads": [summary["threads"]],
        "seconds": [seconds],
    }


def joined(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Return the figures of both; only the new ones if they are not of the same settings."""
    old = {**old, "settings": completed(old["settings"])}
    if any(old[key] != new[key] for key in ("settings", "data")):
        return new
    runs = {}
    for row in (old, new):
        lists = [row[key] for key in PER_SEED]
        runs |= dict(zip(row["seeds"], zip(*lists, strict=True), strict=True))
    columns = zip(*(runs[seed] for seed in sorted(runs)), strict=True)
    return {**new, **dict(zip(PER_SEED, map(list, columns), strict=True))}


def merged(rows: Sequence[dict[str, Any]], new: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows with that of a training added, in the order of the recipes."""
    by_key = {(row["recipe"], row["backend"]): row for row in rows}
    key = new["recipe"], new["backend"]
    by_key[key] = joined(by_key[key], new) if key in by_key else new
    return sorted(by_key.values(), key=lambda row: list(RECIPES).index(row["recipe"]))


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as a Markdown table."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "| --- | --- " + "| ---: " * 7 + "|"]
    for row in rows:
        accuracies = row["test_accuracies"]
        spread = f"{stdev(accuracies):.2%}" if len(accuracies) > 1 else ""
        cells = (
            row["recipe"],
            row["backend"],
            str(len(row["seeds"])),
            f"{mean(accuracies):.2%}",
            spread,
            *(f"{value:.2%}" for value in (min(accuracies), max(accuracies))),
            " or ".join(map(str, sorted(set(row["threads"])))),
            f"{median(row['seconds']):.2f}",
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__)
    parser.add_argument("--recipes", nargs="+", default=SHORT, choices=list(RECIPES))
    parser.add_argument("--backends", nargs="+", default=["numba", "cython"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--output", metavar="FILE.json", help="put the figures into this file")
    parser.add_argument("--keep", metavar="FOLDER", help="keep the run folders in this folder")
    parser.add_argument("--table", metavar="FILE.json", help="only print the table of a file")
    arguments = parser.parse_args(argv)
    if arguments.table:
        print(table(json.loads(Path(arguments.table).read_text(encoding="utf-8"))))
        return 0
    file = Path(arguments.output) if arguments.output else None
    rows = json.loads(file.read_text(encoding="utf-8")) if file and file.exists() else []
    for recipe in arguments.recipes:
        for backend in arguments.backends:
            for seed in arguments.seeds:
                rows = merged(rows, measure(recipe, backend, seed, arguments.data, arguments.keep))
                if file:  # after each training, as some take half an hour
                    file.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    print(table(rows))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
