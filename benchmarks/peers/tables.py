"""Results as Markdown tables, which are also written into the README, between two comments."""

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from benchmarks.sizes import NETWORKS

from .libraries import LIBRARIES
from .results import Results, Row, write_text

BEGIN = "<!-- benchmarks: begin (python -m benchmarks.peers --write-readme) -->"
END = "<!-- benchmarks: end -->"
OURS = ("mnistcore-numba", "mnistcore-cython")
DENSE = tuple(f"{name}-dense" for name in OURS)
OWN = (*OURS, *DENSE, "mnistcore-numpy")


def markdown(results: Results) -> str:
    """All measurements, with a description of the machine."""
    parts = [_machine(results)]
    for section, make in (
        ("epoch", _epoch_tables),
        ("inference", _inference_tables),
        ("start", _start_table),
        ("memory", _memory_table),
        ("products", _products_table),
    ):
        if results[section]:
            parts.append(make(results))
    return "\n\n".join(parts) + "\n"


def write_readme(readme: Path, results: Results) -> None:
    """Put the tables between the two comments of a README.

    Raises
    ------
    ValueError
        Unless each of the comments is there once, in this order.
    """
    text = readme.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(END) < text.index(BEGIN):
        raise ValueError(f"{readme}: needs the lines {BEGIN} and {END}, once each, in this order")
    before, after = text[: text.index(BEGIN)], text[text.index(END) :]
    write_text(readme, f"{before}{BEGIN}\n\n{markdown(results)}\n{after}")


def _machine(results: Results) -> str:
    machine, run = results["machine"], results["runs"][-1]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    limits = "; ".join(
        f"{limit['gflops']:.0f} GFLOP/s and {limit['gbs']:.0f} GB/s on {_cores(int(count))}"
        for count, limit in sorted(results["ceilings"].items(), key=lambda item: int(item[0]))
    )
    text = (
        f"Measured {run['date']} on {machine['cpu']}, {_cores(machine['cores'])},"
        f" {', '.join(machine['instruction_sets'])}, {machine['system']}; {versions}."
    )
    if limits:
        text += f" Limits of this machine, the highest of these runs: {limits}."
    if any(one.get("quick") for one in results["runs"]):
        text += " **Quick mode: these figures mean nothing.**"
    return text


def _cores(count: int) -> str:
    return "1 core" if count == 1 else f"{count} cores"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; the first column is text, the others are numbers."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def best_rows(rows: Iterable[Row], key: str, threads: int | None, largest: bool = False) -> dict:
    """(network, library) -> its row with the best median of ``key``.

    Of the rows with so many threads, or of all where ``threads`` is None.
    """
    best: dict[tuple[str, str], Row] = {}
    for row in rows:
        if threads is not None and row["threads"] != threads:
            continue
        name = row["network"], row["library"]
        sign = -1 if largest else 1
        if name not in best or sign * row[key]["median"] < sign * best[name][key]["median"]:
            best[name] = row
    return best


def _comparison(
    rows: Sequence[Row],
    key: str,
    threads: int | None,
    spell: Callable[[float], str],
    largest: bool = False,
) -> str:
    """A line for each library, a column for each network, and our lead over the best other."""
    best = best_rows(rows, key, threads, largest)
    networks = [name for name in NETWORKS if any(network == name for network, _ in best)]
    libraries = [name for name in LIBRARIES if any(library == name for _, library in best)]
    medians = {name: row[key]["median"] for name, row in best.items()}

    def cell(network: str, library: str) -> str:
        if (network, library) not in best:
            return ""
        text = spell(medians[network, library])
        return text if threads else f"{text} ({best[network, library]['threads']})"

    lines = [
        [LIBRARIES[library].title, *(cell(network, library) for network in networks)]
        for library in libraries
    ]
    for own in OURS:
        ahead = [_ahead(medians, network, own, largest) for network in networks]
        if any(ahead):
            lines.append([f"**{LIBRARIES[own].title}: times ahead of the best other**", *ahead])
    header = [
        f"{name}, {NETWORKS[name].optimizer} {NETWORKS[name].batch_size}" for name in networks
    ]
    return table(["", *header], lines)


def _ahead(medians: dict[tuple[str, str], float], network: str, own: str, largest: bool) -> str:
    others = [
        value
        for (name, library), value in medians.items()
        if name == network and library not in OWN
    ]
    if not others or (network, own) not in medians:
        return ""
    ours = medians[network, own]
    factor = ours / max(others) if largest else min(others) / ours
    return f"**{factor:.2f}x**"


def _epoch_tables(results: Results) -> str:
    rows = results["epoch"]
    samples = max(row["samples"] for row in rows)
    scaled = [
        f"{network}, {steps} steps scaled up"
        for network in NETWORKS
        for steps in {
            -(-row["samples_trained"] // row["batch_size"])
            for row in rows
            if row["network"] == network and row["samples_trained"] < row["samples"]
        }
    ]
    text = (
        f"### Seconds per epoch of {samples:,} images\n\n"
        f"Median of interleaved rounds ({_rounds(rows)}); each library at its best number of"
        " threads, in brackets."
    )
    if scaled:
        text += f" (An epoch of {'; '.join(scaled)}.)"
    text += "\n\n" + _comparison(rows, "seconds", None, lambda seconds: f"{seconds:.3f}")
    if {1} < {row["threads"] for row in rows}:
        one = _comparison(rows, "seconds", 1, lambda seconds: f"{seconds:.3f}")
        text += f"\n\nOn one core:\n\n{one}"
    return text


def _inference_tables(results: Results) -> str:
    rows = results["inference"]
    rates = _comparison(rows, "images_per_second", None, lambda rate: f"{rate:,.0f}", largest=True)
    latency = _comparison(rows, "latency", None, lambda seconds: f"{1e6 * seconds:.1f}")
    return (
        "### Images per second, the whole test set from uint8\n\n"
        "In parts of the size that suits each library best; threads in brackets.\n\n"
        f"{rates}\n\nMicroseconds for a single image:\n\n{latency}"
    )


def _start_table(results: Results) -> str:
    rows = sorted(results["start"], key=lambda row: row["seconds"]["median"])
    lines = [
        [
            LIBRARIES[row["library"]].title + (", nothing compiled yet" if row["cold"] else ""),
            f"{row['seconds']['median']:.2f}",
        ]
        for row in rows
    ]
    return (
        "### Seconds from the start of the process to the first finished training step\n\n"
        "784-128-64-10, the raw data in the cache; median of interleaved rounds"
        f" ({_rounds(rows)}).\n\n" + table(["", "seconds"], lines)
    )


def _rounds(rows: Sequence[Row]) -> str:
    """Return how many rounds the rows had, the fewest and the most."""
    counts = [row["seconds"]["rounds"] for row in rows]
    return " to ".join(map(str, sorted({min(counts), max(counts)})))


def _memory_table(results: Results) -> str:
    rows = sorted(results["memory"], key=lambda row: row["bytes"]["median"])
    lines = [
        [LIBRARIES[row["library"]].title, f"{row['bytes']['median'] / 1e6:.0f}"] for row in rows
    ]
    return "### Peak resident memory of the default job, MB\n\n" + table(["", "MB"], lines)


def _products_table(results: Results) -> str:
    shapes = [row for row in results["products"] if not row["m"] == row["n"] == row["k"]]
    best = {
        (library, row["threads"], row["kernel"], row["m"], row["n"], row["k"]): seconds["min"]
        for row in shapes
        for library, seconds in row["seconds"].items()
    }
    lines = []
    for own in OURS:
        for threads in sorted({row["threads"] for row in shapes}):
            line = [f"{LIBRARIES[own].title}, {threads} thread{'s' if threads > 1 else ''}"]
            for other in ("numpy", "torch"):
                ratios = [
                    best[other, *rest] / seconds
                    for (library, *rest), seconds in best.items()
                    if library == own and rest[0] == threads and (other, *rest) in best
                ]
                mean = math.exp(statistics.fmean(map(math.log, ratios))) if ratios else None
                line += [f"{mean:.2f}", f"{min(ratios):.2f}"] if mean else ["", ""]
            lines.append(line)
    count = len({(row["kernel"], row["m"], row["n"], row["k"]) for row in shapes})
    return (
        f"### Matrix products: speed relative to BLAS over {count} shapes of these networks\n\n"
        + table(["", "NumPy: mean", "worst", "PyTorch (MKL): mean", "worst"], lines)
    )
