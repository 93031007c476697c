"""Every network, batch size and shape that is timed, and for how long."""

import os
import re
from dataclasses import dataclass, replace
from itertools import pairwise

from mnistcore.models.network import Network

QUICK = os.environ.get("MNISTCORE_BENCH_QUICK", "") not in ("", "0")


@dataclass(frozen=True)
class Case:
    """A network and how it is trained.

    Attributes
    ----------
    layer_sizes, activation, batch_size, optimizer, learning_rate
        As the recipes and ``make_options`` name them.
    epoch_steps
        How many steps are timed in place of an epoch; the time is then scaled up by the number
        of samples. 0 for a whole epoch.
    round_steps
        Steps of a round in ``bench_train_step``: long enough that calling it costs nothing.
    """

    layer_sizes: tuple[int, ...]
    activation: str
    batch_size: int
    optimizer: str
    learning_rate: float
    epoch_steps: int
    round_steps: int

    @property
    def name(self) -> str:
        """Its layer sizes, as in 784-10-10."""
        return "-".join(map(str, self.layer_sizes))

    @property
    def flops_per_sample(self) -> int:
        """Operations of the products of a training step."""
        return Network(self.layer_sizes).flops_per_sample


_ALL, _LARGEST = (20, 2) if QUICK else (0, 60)
_CASES = (
    Case((784, 10, 10), "tanh", 32, "sgd", 0.1, _ALL, 5 if QUICK else 200),
    Case((784, 128, 64, 10), "relu", 64, "adam", 0.001, _ALL, 2 if QUICK else 100),
    Case((784, 1024, 128, 10), "relu", 128, "adam", 0.001, _ALL, 1 if QUICK else 20),
    Case((784, 2500, 2000, 1500, 1000, 500, 10), "relu", 128, "adam", 0.001, _LARGEST, 4),
)
NETWORKS = {case.name: case for case in _CASES}
# Networks between and beside those, by layer and batch sizes; see ``case_of``.
FURTHER_NETWORKS = (
    "784-50-10/16",
    "784-100-10/32",
    "784-200-10/64",
    "784-1000-10/128",
    "784-50-50-10/16",
    "784-100-50-10/64",
    "784-256-128-10/32",
    "784-300-100-10/64",
    "784-500-300-10/512",
    "784-512-512-10/128",
    "784-1000-500-10/256",
    "784-100-100-100-10/64",
    "784-300-200-100-10/128",
    "784-1000-500-250-10/512",
)
FURTHER_FLOPS = 2 * 10**7 if QUICK else 3 * 10**10  # of what is timed: at most a whole epoch
BACKENDS = ("numba", "cython")  # those that compile
SMALLER_NETWORKS = tuple(NETWORKS)[:3]
DEFAULT_NETWORK = _CASES[1]  # that of the default recipe
LARGE_NETWORK = _CASES[2]
TRAIN_STEP_NETWORKS = _CASES[:2] if QUICK else _CASES


def case_of(name: str) -> Case:
    """One of ``NETWORKS``, or any other by layer and batch sizes: 784-50-10/16 (ReLU, Adam).

    Raises
    ------
    ValueError
        If the name is neither.
    """
    if name in NETWORKS:
        return NETWORKS[name]
    if not re.fullmatch(r"784(-[1-9]\d{0,4})*-10/[1-9]\d{0,4}", name):
        raise ValueError(f"{name!r} is no network such as 784-50-10/16: layer and batch sizes")
    sizes, batch_size = name.split("/")
    case = Case(tuple(map(int, sizes.split("-"))), "relu", int(batch_size), "adam", 0.001, 0, 1)
    steps = max(1, FURTHER_FLOPS // (case.flops_per_sample * case.batch_size))
    return replace(case, epoch_steps=steps)


# How many samples ``bench_*`` trains on, and how many make an epoch in a comparison.
SAMPLES = 4_000 if QUICK else 60_000
TEST_SAMPLES = 1_000 if QUICK else 10_000

# Batch sizes of the products: all of the comparison, and those of ``bench_kernels``.
PRODUCT_BATCHES = (32,) if QUICK else (32, 64, 128, 512)
BENCHED_PRODUCT_BATCHES = (32,) if QUICK else (128,)
SQUARES = (64, 128) if QUICK else (16, 32, 64, 96, 128, 192, 256, 384, 512, 768, 1024)

# Element-wise kernels work on (B, O), the optimizers on the parameters of a network.
ELEMENTWISE_SHAPE = (32, 64) if QUICK else (128, 1024)
CLASSES = 10
UPDATED_NETWORK = DEFAULT_NETWORK if QUICK else LARGE_NETWORK

SCALING_BATCHES = (32,) if QUICK else (16, 32, 64, 128, 256, 512)
SCALING_WIDTHS = (32,) if QUICK else (32, 128, 512, 2048)
SCALING_FLOPS = 10**7 if QUICK else 2 * 10**9  # of a round, for networks of these widths

# pytest-benchmark: at least so many rounds, and more until so many seconds have passed.
MIN_ROUNDS = 2 if QUICK else 5
MAX_SECONDS = 0.005 if QUICK else 0.12

# Ceilings: the best of so many runs, each of so many iterations of the multiply-add loop.
CEILING_RUNS = 3 if QUICK else 15
CEILING_ITERATIONS = 200_000 if QUICK else 2_000_000
LARGEST_TRIAD = 1 << (22 if QUICK else 28)  # bytes of its three arrays: far beyond the caches

# The test accuracy that every library must exceed after its first epoch in a comparison.
LEAST_ACCURACY = 0.2 if QUICK else 0.7

# Inference in a comparison.
PREDICTION_CHUNKS = (10_000, 2_000, 500)  # images a call; the fastest counts for each library
SINGLE_IMAGES = 20 if QUICK else 1_000  # predicted one by one, for their latency

# Epochs of the job whose peak memory is measured; the peak is reached in the first.
MEMORY_EPOCHS = 1 if QUICK else 2


def product_shapes(batches: tuple[int, ...] = PRODUCT_BATCHES) -> list[tuple[str, int, int, int]]:
    """(kernel, M, N, K) of every product that the networks make at these batch sizes."""
    shapes: dict[tuple[str, int, int, int], None] = {}
    for batch in batches:
        for case in _CASES[: 2 if QUICK else None]:
            for layer, (fan_in, fan_out) in enumerate(pairwise(case.layer_sizes)):
                shapes["matmul", batch, fan_out, fan_in] = None
                shapes["matmul_tn", fan_in, fan_out, batch] = None
                if layer:
                    shapes["matmul_nt", batch, fan_in, fan_out] = None
    return list(shapes)
