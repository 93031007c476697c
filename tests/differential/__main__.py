"""``python -m tests.differential --backend numba|cython [--cases N] [--seed K] [--seconds S]``."""

import argparse
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))  # what tests share

from mnistcore.kernels.backends import get_backend

from .cases import Case
from .search import Search, attempt_with, in_a_child


def main():
    parser = argparse.ArgumentParser("python -m tests.differential")
    parser.add_argument("--backend", choices=("numba", "cython"), required=True)
    parser.add_argument("--cases", type=int, default=5000)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--case", help="one case, as a line that a failure ended with")
    options = parser.parse_args()
    kernels = get_backend(options.backend)
    kernels.compile_programs(print)
    attempt = attempt_with(kernels)
    if options.case:
        compared, worst, _ = in_a_child(lambda: attempt(Case.from_line(options.case)))
        print(f"{compared:,} numbers, the worst at {worst:.2f} of what is allowed")
        return
    search, began = Search(attempt, options.seed), time.monotonic()
    failure = search.run(options.cases, options.seconds)
    seconds, total = time.monotonic() - began, sum(compared for compared, _, _ in search.results)
    print(f"{options.backend}: {search.tried:,} cases, {total:,} numbers in {seconds:.0f} s")
    if search.results:
        _, worst, case = max(search.results, key=lambda result: result[1])
        print(f"the worst at {worst:.2f} of what is allowed: {case.line()}")
    if failure:
        case, words = failure
        command = f"python -m tests.differential --backend {options.backend}"
        sys.exit(f"{words}\n{command} --case '{case.line()}'")


main()
