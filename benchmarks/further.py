"""``python -m benchmarks.further``: an epoch of further networks, ours beside the fastest peer.

``benchmarks.peers`` compares all libraries on four networks. This compares the fastest ones on
networks between and beside those: three to five layers, 50 to 1,000 units, batches of 16 to 512.
No peer leaves out zeros, so ours are measured with zeros multiplied as well. Each network is a
measurement of its own, of some tens of seconds, and the file is written after each::

    python -m benchmarks.further --output further.json                  # all of them
    python -m benchmarks.further 784-50-10/16 --output further.json     # one, into the same file
    python -m benchmarks.further --table further.json
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from mnistcore.data import load_data
from mnistcore.kernels.threads import available_cores

from .peers.libraries import LIBRARIES
from .peers.measure import Notice, Plan, data_folder, measure_networks
from .peers.results import (
    Results,
    Row,
    load_average,
    open_results,
    read_results,
    replace_rows,
    write_results,
)
from .peers.rounds import WorkerError
from .peers.tables import DENSE, OURS, OWN, best_rows, table
from .sizes import FURTHER_NETWORKS, QUICK, case_of

PEERS = ("jax", "torch")  # no other was more than 2 % faster on any network of ``benchmarks.peers``


class _Terminal(Notice):
    failures = 0

    def fail(self, error: WorkerError) -> None:
        self.failures += 1
        print(f"not measured: {error}", file=sys.stderr, flush=True)


def _network(name: str) -> str:
    try:
        case_of(name)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return name


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.further",
        description="Compare epochs of further networks with those of the fastest libraries.",
    )
    add = parser.add_argument
    add("networks", nargs="*", type=_network, metavar="NETWORK", help="such as 784-300-100-10/64")
    add("--list", action="store_true", help="list the networks that are measured by default")
    add("--rounds", type=int, default=5, metavar="N", help="rounds of each (default: 5)")
    add("--data", default="auto", help="as of `mnistcore train` (default: auto)")
    add("--output", type=Path, metavar="FILE", help="results; those of other networks stay")
    add("--table", type=Path, metavar="FILE", help="measure nothing: print FILE as Markdown")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """The command; 0, or 1 where a library could not be measured."""
    parser = _parser()
    options = parser.parse_args(argv)
    if options.list:
        print("\n".join(FURTHER_NETWORKS))
        return 0
    if options.table:
        print(markdown(read_results(options.table)))
        return 0
    if options.output is None:
        parser.error("--output FILE is missing")
    return _measure(options)


def _measure(options: argparse.Namespace) -> int:
    results, notice = open_results(options.output), _Terminal()
    libraries = [name for name in (*OURS, *DENSE, *PEERS) if LIBRARIES[name].installed]
    threads = sorted({1, available_cores()})
    dataset = load_data(options.data)
    with data_folder(dataset) as folder:
        for network in options.networks or FURTHER_NETWORKS:
            began, load = time.perf_counter(), load_average()
            plan = Plan(libraries, [network], threads, options.rounds, folder, options.data)
            for section, rows in measure_networks(plan, ["epoch"], notice):
                replace_rows(results, section, rows)
            results["runs"].append(
                {
                    "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
                    "what": [network],
                    "rounds": options.rounds,
                    "threads": threads,
                    "data": dataset.name,
                    "quick": QUICK,
                    "load_before": load,
                    "load_after": load_average(),
                }
            )
            write_results(options.output, results)
            print(f"{network}: {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    print(markdown(results))
    return 1 if notice.failures else 0


def markdown(results: Results) -> str:
    """A line for each network: the fastest peer, and how many times faster ours are."""
    most = max(row["threads"] for row in results["epoch"])
    return "\n\n".join(
        f"On {'one core' if threads == 1 else f'up to {most} cores, each at its best'}:\n\n"
        + _table(results["epoch"], threads)
        for threads in ([None, 1] if most > 1 else [1])
    )


def _table(rows: Sequence[Row], threads: int | None) -> str:
    best = best_rows(rows, "seconds", threads)
    seconds = {key: row["seconds"]["median"] for key, row in best.items()}
    header = ["network, batch", "fastest peer", "s"]
    for own in OURS:
        title = own.removeprefix("mnistcore-")
        header += [f"{title} s", "times faster", "zeros multiplied"]
    lines = []
    for network in dict.fromkeys(row["network"] for row in rows):
        peer = min(
            (name for net, name in seconds if net == network and name not in OWN),
            key=lambda name: seconds[network, name],
        )
        line = [network, LIBRARIES[peer].title, f"{seconds[network, peer]:.3f}"]
        for own, dense in zip(OURS, DENSE, strict=True):
            ours = [seconds.get((network, name)) for name in (own, dense)]
            line.append(f"{ours[0]:.3f}" if ours[0] else "")
            line += [f"{seconds[network, peer] / one:.2f}x" if one else "" for one in ours]
        lines.append(line)
    return table(header, lines)


if __name__ == "__main__":
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    sys.exit(main())
