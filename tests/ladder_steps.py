"""Every step of every ladder, and the shapes at which each is tested."""

from mnistcore.kernels.backends import BackendUnavailableError
from mnistcore.ladder import BACKENDS, LADDERS, load

__all__ = ["ALL", "SHAPES"]

# Tiles of every step and instruction set less one, exact and one more; primes; 1; nothing.
SHAPES = {
    "matmul": [
        (1, 1, 1), (1, 5, 1), (3, 1, 300), (2, 3, 5), (3, 4, 4), (4, 4, 8), (5, 9, 33), (7, 8, 16),
        (8, 16, 64), (9, 17, 65), (13, 31, 127), (16, 5, 128), (17, 65, 129), (33, 40, 10),
        (12, 130, 1030), (64, 784, 10), (0, 3, 4), (3, 4, 0), (3, 0, 5),
    ],
}  # fmt: skip


def step_names(ladder, language):
    """The names of the steps, where the language is there."""
    try:
        return [step.name for step in load(ladder).steps(language)]
    except BackendUnavailableError:
        return ["(not available)"]


ALL = [
    (ladder, language, name)
    for ladder in LADDERS
    for language in ("python", *BACKENDS, "numpy")
    for name in step_names(ladder, language)
]
