"""``python -m benchmarks.peers``: measure, and write the figures as JSON and as tables."""

import argparse
import os
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.sizes import NETWORKS, QUICK
from mnistcore.data import load_data
from mnistcore.kernels.threads import available_cores

from . import tables
from .libraries import LIBRARIES
from .measure import (
    Notice,
    Plan,
    data_folder,
    measure_ceilings,
    measure_fresh,
    measure_networks,
    measure_products,
)
from .results import (
    SECTIONS,
    Results,
    Row,
    load_average,
    open_results,
    raise_ceilings,
    read_results,
    replace_rows,
    write_results,
)
from .rounds import WorkerError

RESULTS = Path(__file__).parents[1] / "results"
README = Path(__file__).parents[2] / "README.md"


class _Terminal(Notice):
    def __init__(self) -> None:
        self.failures = 0

    def say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def fail(self, error: WorkerError) -> None:
        self.failures += 1
        self.say(f"not measured: {error}")


def _names_among(known: Sequence[str]) -> Callable[[str], list[str]]:
    """The argparse type of names out of ``known``, separated by commas."""

    def names(text: str) -> list[str]:
        given = [name for name in text.split(",") if name]
        for name in given:
            if name not in known:
                raise argparse.ArgumentTypeError(
                    f"{name!r} is unknown; choose from {', '.join(known)}"
                )
        return given

    return names


def _thread_count(text: str) -> int:
    cores = available_cores()
    if text == "all":
        return cores
    if not text.isdecimal() or not 1 <= int(text) <= cores:
        raise argparse.ArgumentTypeError(f"{text!r} is neither all nor from 1 to {cores}")
    return int(text)


def _rounds(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers", description="Compare mnistcore with other libraries."
    )
    add, cores = parser.add_argument, available_cores()
    for flag, known, what in (
        ("--what", SECTIONS, "what to measure (default: everything)"),
        ("--libraries", tuple(LIBRARIES), "which libraries (default: those installed)"),
        ("--networks", tuple(NETWORKS), "networks of epoch and inference (default: all)"),
    ):
        add(
            flag,
            nargs="+",
            type=_names_among(known),
            metavar="NAME",
            help=f"{what}: {', '.join(known)}",
        )
    add(
        "--threads",
        nargs="+",
        type=_thread_count,
        default=sorted({1, min(2, cores), cores}),
        metavar="N",
        help="numbers of threads, or all (default: 1 2 all)",
    )
    add("--rounds", type=_rounds, default=5, metavar="N", help="rounds of each (default: 5)")
    add("--data", default="auto", help="as of `mnistcore train` (default: auto)")
    add("--data-dir", metavar="DIR", help="folder to take MNIST from")
    add(
        "--output",
        type=Path,
        metavar="FILE",
        help="results; those of other sections that it holds stay (default: in benchmarks/results)",
    )
    add("--table", type=Path, metavar="FILE", help="measure nothing: print FILE as Markdown")
    add("--write-readme", type=Path, metavar="FILE", help="measure nothing: FILE into README.md")
    add("--readme", type=Path, default=README, metavar="FILE", help="the README to write into")
    return parser


def _flat(lists: list[list[str]] | None, default: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(name for part in lists for name in part)) if lists else list(default)


def main(argv: Sequence[str] | None = None) -> int:
    """The command; 0, 1 where a library could not be measured, 2 for a mistake of the user."""
    parser = _parser()
    options = parser.parse_args(argv)
    try:
        if options.table:
            sys.stdout.write(tables.markdown(read_results(options.table)))
            return 0
        if options.write_readme:
            tables.write_readme(options.readme, read_results(options.write_readme))
            return 0
        return _measure(options, parser)
    except (ValueError, OSError) as error:
        print(f"{parser.prog}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2


def _measure(options: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    installed = [name for name, library in LIBRARIES.items() if library.installed]
    libraries = _flat(options.libraries, installed)
    missing = [name for name in libraries if name not in installed]
    if missing:
        parser.error(f"not installed: {', '.join(missing)}")
    now = datetime.now(UTC)
    output = options.output or RESULTS / f"{now:%Y-%m-%d-%H%M}.json"
    results = open_results(output)
    sections = _flat(options.what, SECTIONS)
    notice = _Terminal()
    dataset = load_data(options.data, options.data_dir)
    threads = sorted(set(options.threads))
    with data_folder(dataset) as folder:
        networks = _flat(options.networks, tuple(NETWORKS))
        plan = Plan(libraries, networks, threads, options.rounds, folder, options.data)
        environment = {"MNISTCORE_DATA_DIR": options.data_dir} if options.data_dir else {}
        results["runs"].append(
            {
                "date": f"{now:%Y-%m-%d %H:%M} UTC",
                "what": sections,
                "rounds": plan.rounds,
                "threads": threads,
                "data": dataset.name,
                "quick": QUICK,
                "load_before": load_average(),
                "command": f"{parser.prog} {shlex.join(sys.argv[1:])}".strip(),
            }
        )
        _fill(results, plan, sections, environment, notice, output)
    print(tables.markdown(results))
    notice.say(f"written to {output}")
    return 1 if notice.failures else 0


def _fill(
    results: Results,
    plan: Plan,
    sections: Sequence[str],
    environment: dict[str, str],
    notice: _Terminal,
    output: Path,
) -> None:
    """Measure section by section; the file is written after each, so that nothing is lost."""

    def keep(section: str, rows: list[Row]) -> None:
        replace_rows(results, section, rows)
        results["runs"][-1]["load_after"] = load_average()
        write_results(output, results)

    began = time.perf_counter()
    if LIBRARIES["mnistcore-numba"].installed:
        raise_ceilings(results, measure_ceilings(plan.threads, plan.folder))
    if {"epoch", "inference"} & set(sections):
        for section, rows in measure_networks(plan, sections, notice):
            keep(section, rows)
    for section in ("start", "memory"):
        if section in sections:
            keep(section, measure_fresh(plan, section, environment, notice))
    if "products" in sections:
        keep("products", measure_products(plan, notice))
    notice.say(f"measured for {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    sys.exit(main())
