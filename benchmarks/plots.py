"""``python -m benchmarks.plots FILE.json``: pictures of a comparison, as SVG and PNG.

``products``  GFLOP/s of square matrix products by size, beside BLAS and under the peak
``epochs``    the time of an epoch by library, each at its best number of threads
``scaling``   images per second by number of threads

The colours are Okabe and Ito's, which colour-blind people can tell apart. Each line also has a
marker of its own.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from .peers.libraries import LIBRARIES
from .peers.results import Results, Row, read_results
from .peers.tables import OURS, best_rows
from .sizes import NETWORKS

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
GREY, INK, PALE = "#767676", "#222222", "#c9c9c9"
STYLES = {  # colour and marker
    "mnistcore-numba": ("#0072B2", "o"),
    "mnistcore-cython": ("#D55E00", "s"),
    "mnistcore-numpy": ("#444444", "v"),
    "numpy": ("#444444", "^"),
    "torch": ("#009E73", "D"),
    "torch-compile": ("#56B4E9", "P"),
    "jax": ("#CC79A7", "X"),
    "keras": ("#E69F00", "<"),
    "sklearn": ("#999999", ">"),
}
SPELLED = {"relu": "ReLU", "tanh": "tanh", "adam": "Adam", "sgd": "SGD"}
LABELS = {"numpy": "NumPy (OpenBLAS)", "torch": "PyTorch (MKL)"}  # in the plot of products
SETTINGS: Any = {
    "font.size": 11,
    "font.family": "DejaVu Sans",
    "axes.edgecolor": PALE,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "text.color": INK,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "grid.color": "#ebebeb",
    "svg.fonttype": "path",
    "svg.hashsalt": "mnistcore",
}


def main(argv: Sequence[str] | None = None) -> int:
    """The command; status 2 where the file cannot be read or holds nothing to draw."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plots", description=__doc__)
    parser.add_argument("results", type=Path, metavar="FILE.json")
    parser.add_argument("--folder", type=Path, default=PICTURES, help="where the pictures go")
    options = parser.parse_args(argv)
    try:
        results = read_results(options.results)
        written = draw(results, options.folder)
    except (ValueError, OSError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    if not written:
        print(f"{parser.prog}: {options.results}: holds nothing to draw", file=sys.stderr)
        return 2
    for path in written:
        print(path)
    return 0


def draw(results: Results, folder: Path) -> list[Path]:
    """Write the pictures that the results have figures for."""
    squares = [row for row in results["products"] if row["m"] == row["n"] == row["k"]]
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    with plt.rc_context(SETTINGS):
        for name, figure in (
            ("products", _products(squares, results) if squares else None),
            ("epochs", _epochs(results) if results["epoch"] else None),
            ("scaling", _scaling(results) if _thread_counts(results["epoch"])[1:] else None),
        ):
            if figure is None:
                continue
            for suffix, metadata in ((".svg", {"Date": None}), (".png", {})):
                path = folder / f"{name}{suffix}"
                figure.savefig(path, dpi=150, metadata=metadata)
                written.append(path)
            plt.close(figure)
    return written


def _thread_counts(rows: Sequence[Row]) -> list[int]:
    return sorted({row["threads"] for row in rows})


def _machine(results: Results, figure: Figure) -> None:
    """A line at the bottom with the machine and the date."""
    machine, run = results["machine"], results["runs"][-1]
    quick = "; QUICK MODE, MEANS NOTHING" if run.get("quick") else ""
    text = f"{machine['cpu']}, {machine['cores']} cores; {run['date']}{quick}"
    figure.text(0.995, 0.008, text, ha="right", va="bottom", fontsize=8, color=GREY)
    # Leave room for that line, and between the panels.
    layout = ConstrainedLayoutEngine(rect=(0, 0.035, 1, 0.965), h_pad=0.1, w_pad=0.1)
    figure.set_layout_engine(layout)


def _clean(axes: Axes, grid: Literal["x", "y"]) -> None:
    axes.grid(axis=grid, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)


# ---------------------------------------------------------------------------------------------
# Matrix products
# ---------------------------------------------------------------------------------------------


def _products(squares: Sequence[Row], results: Results) -> Figure:
    """A panel per number of threads, the fewest and the most."""
    counts = _thread_counts(squares)
    counts = sorted({counts[0], counts[-1]})
    figure, panels = plt.subplots(
        1, len(counts), figsize=(5.6 * len(counts), 4.6), layout="constrained", squeeze=False
    )
    for axes, threads in zip(panels[0], counts, strict=True):
        peak = results["ceilings"].get(str(threads), {}).get("gflops")
        _product_panel(axes, [row for row in squares if row["threads"] == threads], peak)
        axes.set_title("1 core" if threads == 1 else f"{threads} cores")
    panels[0][0].set_ylabel("GFLOP/s")
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
    _machine(results, figure)
    return figure


def _product_panel(axes: Axes, rows: Sequence[Row], peak: float | None) -> None:
    sizes = sorted({row["m"] for row in rows})
    for library, (colour, marker) in STYLES.items():
        points = sorted(
            (row["m"], 2e-9 * row["m"] ** 3 / row["seconds"][library]["min"])
            for row in rows
            if library in row["seconds"]
        )
        if points:
            ours = library in OURS
            label = LIBRARIES[library].title if ours else LABELS.get(library, library)
            axes.plot(
                *zip(*points, strict=True),
                label=label,
                color=colour,
                marker=marker,
                markersize=6,
                linewidth=2.4 if ours else 1.6,
                zorder=3 if ours else 2,
            )
    if peak:
        axes.axhline(peak, color=INK, linewidth=1.2, linestyle=(0, (5, 3)))
        text = f"peak of the FMA units, measured: {peak:.0f} GFLOP/s"
        axes.annotate(text, (sizes[0], peak), (0, 4), textcoords="offset points", fontsize=9)
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [f"{size}" for size in sizes], fontsize=9)
    axes.minorticks_off()
    axes.set_xlabel("n, of an n x n by n x n product in float32")
    axes.set_ylim(0, None if peak is None else 1.12 * peak)
    _clean(axes, "y")


# ---------------------------------------------------------------------------------------------
# Epochs
# ---------------------------------------------------------------------------------------------


def _epochs(results: Results) -> Figure:
    """A panel of bars per network, the shortest first."""
    best = best_rows(results["epoch"], "seconds", None)
    networks = [name for name in NETWORKS if any(network == name for network, _ in best)]
    columns = min(2, len(networks))
    lines = -(-len(networks) // columns)
    bars = max(sum(network == name for network, _ in best) for name in networks)
    figure, panels = plt.subplots(
        lines,
        columns,
        figsize=(5.8 * columns, (0.34 * bars + 0.9) * lines + 0.6),
        layout="constrained",
        squeeze=False,
    )
    for axes, network in zip(panels.flat, networks, strict=False):
        rows = {library: row for (name, library), row in best.items() if name == network}
        _epoch_panel(axes, network, rows)
    for axes in list(panels.flat)[len(networks) :]:
        axes.set_visible(False)
    figure.suptitle(
        "Seconds to train an epoch; each library at its best number of threads",
        x=0.01,
        ha="left",
        fontsize=13,
    )
    _machine(results, figure)
    return figure


def _epoch_panel(axes: Axes, network: str, rows: dict[str, Row]) -> None:
    seconds = {library: row["seconds"]["median"] for library, row in rows.items()}
    libraries = sorted(seconds, key=lambda library: seconds[library], reverse=True)
    colours = [STYLES[name][0] if name in OURS else PALE for name in libraries]
    values = [seconds[name] for name in libraries]
    axes.barh([LIBRARIES[name].title for name in libraries], values, color=colours, height=0.72)
    for position, name in enumerate(libraries):
        threads = rows[name]["threads"]
        axes.annotate(
            f"{seconds[name]:#.3g} s   {threads} thread{'s' if threads > 1 else ''}",
            (seconds[name], position),
            (5, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
            color=INK if name in OURS else GREY,
            weight="bold" if name in OURS else "normal",
        )
    for label, name in zip(axes.get_yticklabels(), libraries, strict=True):
        label.set_color(INK if name in OURS else GREY)
    axes.set_xlim(0, 1.32 * max(values))
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(length=0)
    case = NETWORKS[network]
    activation, optimizer = SPELLED[case.activation], SPELLED[case.optimizer]
    title = f"{network}\n{activation}, {optimizer}, batch {case.batch_size}"
    axes.set_title(title, fontsize=11)


# ---------------------------------------------------------------------------------------------
# Scaling
# ---------------------------------------------------------------------------------------------


def _scaling(results: Results) -> Figure:
    """A panel of lines per network: images per second by threads."""
    rows = results["epoch"]
    networks = [name for name in NETWORKS if any(row["network"] == name for row in rows)]
    columns = min(2, len(networks))
    lines = -(-len(networks) // columns)
    figure, panels = plt.subplots(
        lines, columns, figsize=(5.6 * columns, 3.7 * lines + 0.6), layout="constrained",
        squeeze=False,
    )  # fmt: skip
    for axes, network in zip(panels.flat, networks, strict=False):
        _scaling_panel(axes, [row for row in rows if row["network"] == network])
        axes.set_title(network)
    for axes in list(panels.flat)[len(networks) :]:
        axes.set_visible(False)
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4, frameon=False)
    _machine(results, figure)
    return figure


def _scaling_panel(axes: Axes, rows: Sequence[Row]) -> None:
    counts = _thread_counts(rows)
    drawn = {}
    for library, (colour, marker) in STYLES.items():
        points = sorted(
            (row["threads"], 1e-3 * row["samples"] / row["seconds"]["median"])
            for row in rows
            if row["library"] == library
        )
        if not points or library == "mnistcore-numpy":
            continue
        ours = library in OURS
        drawn[library] = dict(points)
        axes.plot(
            *zip(*points, strict=True),
            label=LIBRARIES[library].title,
            color=colour,
            marker=marker,
            markersize=7 if ours else 5,
            linewidth=2.4 if ours else 1.3,
            zorder=3 if ours else 2,
        )
    starts = [drawn[name][counts[0]] for name in OURS if counts[0] in drawn.get(name, {})]
    if starts:
        ideal = [max(starts) * count / counts[0] for count in counts]
        style: Any = {"color": GREY, "linestyle": (0, (2, 3)), "linewidth": 1.2}
        axes.plot(counts, ideal, label="in proportion to the threads", **style)
    axes.set_xticks(counts)
    axes.set_xlabel("threads")
    axes.set_ylabel("thousand images / s")
    most = max(rate for rates in drawn.values() for rate in rates.values())
    axes.set_ylim(0, 1.3 * most)
    _clean(axes, "y")


if __name__ == "__main__":
    sys.exit(main())
