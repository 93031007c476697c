"""Random calls on arrays beside pages without access: ``python -m tests.guard_pages``.

Each case of the differential search is computed twice, with a page that may not be touched behind
all arrays and before them. Results are not compared: that is what ``tests.differential`` does.
"""

import argparse
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parent))  # what tests share

from mnistcore.kernels.backends import get_backend
from tests.differential.checks import touch_nothing_outside
from tests.differential.search import Search


def main():
    parser = argparse.ArgumentParser("python -m tests.guard_pages")
    parser.add_argument("--backend", choices=("numba", "cython"), required=True)
    parser.add_argument("--cases", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    kernels, began = get_backend(options.backend), time.monotonic()
    kernels.compile_programs(print)
    search = Search(lambda case: touch_nothing_outside(case, kernels), options.seed)
    failure = search.run(options.cases)
    print(
        f"{options.backend} {kernels.INSTRUCTION_SET}: {sum(search.results):,} calls"
        f" of {search.tried:,} cases in {time.monotonic() - began:.0f} s"
    )
    if failure:
        sys.exit(f"{failure[1]}: {failure[0].line()}")


if __name__ == "__main__":
    main()
