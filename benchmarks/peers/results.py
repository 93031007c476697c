"""The file of figures: JSON, with the machine that they were measured on.

``machine``    CPU, cores, instruction sets, system, versions
``runs``       when each section was measured, with which command, and the load of the machine
``ceilings``   by number of threads: GFLOP/s of multiply-adds, GB/s of a triad; the highest
``epoch``, ``inference``, ``start``, ``memory``, ``products``   rows, a line each

A row holds a summary of what was measured: how many rounds, the smallest, the quartiles. Times are
in seconds. A row of ``products`` is a shape and a number of threads, with a summary by library.
"""

import json
import os
import platform
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from mnistcore import __version__
from mnistcore.kernels.threads import available_cores
from mnistcore.system.files import replacing
from mnistcore.system.machine import cpu_model, instruction_sets

FORMAT = 2
DIGITS = 9  # significant ones of a figure
SECTIONS = ("epoch", "start", "memory", "inference", "products")
PACKAGES = (
    *("numpy", "numba", "torch", "jax", "keras", "scikit-learn", "onnxruntime"),
    *("Cython", "llvmlite"),
)

Results = dict[str, Any]
Row = dict[str, Any]


def describe_machine() -> dict[str, Any]:
    """The CPU, the system and the versions of the libraries."""
    versions = {"mnistcore": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "cpu": cpu_model(),
        "cores": available_cores(),
        "instruction_sets": list(instruction_sets()),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": versions,
    }


def load_average() -> float | None:
    """The system's load average of the last minute; None where it is unknown."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def new_results() -> Results:
    """Results of this machine, without any figures yet."""
    return {
        "format": FORMAT,
        "machine": describe_machine(),
        "runs": [],
        "ceilings": {},
        **{section: [] for section in SECTIONS},
    }


def read_results(path: Path) -> Results:
    """The results in a file.

    Raises
    ------
    ValueError
        If the file cannot be read or does not hold results.
    """
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: cannot be read as results: {error}") from error
    if not isinstance(results, dict) or results.get("format") != FORMAT:
        raise ValueError(f"{path}: is no file of results in format {FORMAT}")
    missing = {"machine", "runs", "ceilings", *SECTIONS} - results.keys()
    if missing:
        raise ValueError(f"{path}: lacks {', '.join(sorted(missing))}")
    return results


def open_results(path: Path) -> Results:
    """The results in a file, to add to, or new ones where there is no file.

    Raises
    ------
    ValueError
        As :func:`read_results`, and where the file was measured on another machine.
    """
    if not path.exists():
        return new_results()
    results = read_results(path)
    here = describe_machine()
    for key in ("cpu", "cores", "system"):
        if results["machine"].get(key) != here[key]:
            was, now = results["machine"].get(key), here[key]
            raise ValueError(f"{path}: was measured on another machine ({key} {was}, here {now})")
    results["machine"] = here
    return results


def raise_ceilings(results: Results, measured: dict[str, dict[str, float]]) -> None:
    """Keep the highest limits of all runs: other programs can only lower what is measured."""
    for threads, limits in measured.items():
        known = results["ceilings"].setdefault(threads, {})
        for name, limit in limits.items():
            known[name] = max(limit, known.get(name, 0.0))


def summary(samples: Sequence[float]) -> dict[str, float]:
    """What is kept of the samples of all rounds."""
    quartiles = np.quantile(samples, (0, 0.25, 0.5, 0.75)).tolist()
    names = ("min", "q1", "median", "q3")
    figures = {n: float(f"{q:.{DIGITS}g}") for n, q in zip(names, quartiles, strict=True)}
    return {"rounds": len(samples)} | figures


def write_results(path: Path, results: Results) -> None:
    """Write the file, whole or not at all, a row a line."""
    parts = []
    for key, value in results.items():
        text = json.dumps(value)
        if isinstance(value, list) and value:
            text = "[\n  " + ",\n  ".join(map(json.dumps, value)) + "\n ]"
        parts.append(f" {json.dumps(key)}: {text}")
    write_text(path, "{\n" + ",\n".join(parts) + "\n}\n")


def write_text(path: Path, text: str) -> None:
    """Write a file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        file.write(text.encode())


def replace_rows(results: Results, section: str, rows: Iterable[Row]) -> None:
    """Put rows in place of those that were there for the same networks."""
    rows = list(rows)
    networks = {row.get("network") for row in rows}
    kept = [row for row in results[section] if row.get("network") not in networks]
    results[section] = kept + rows
