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
        compared, worst = in_a_child(lambda: attempt(Case.from_line(options.case)))
        print(f"{compared:,} numbers, the worst at {worst:.2f} of what is allowed")
        return
    search, began = Search(attempt, options.seed), time.monotonic()
    failure = search.run(options.cases, options.seconds)
    compared, worst = map(list, zip(*search.results, strict=True))
    print(
        f"{options.backend}: {search.tried:,} cases in {time.monotonic() - began:.0f} s;"
        f" {sum(compared):,} numbers compared, the worst at {max(worst):.2f} of what is allowed"
    )
    if failure:
        case, words = failure
        command = f"python -m tests.differential --backend {options.backend}"
        sys.exit(f"{words}\n{command} --case '{case.line()}'")


main()
