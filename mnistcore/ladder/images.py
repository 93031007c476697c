"""Images that are as MNIST's are to a kernel: 19 % ink, in runs, the rest zeros."""

import numpy as np

SIDE = 28  # pixels of a line
MARGIN = 4  # lines without ink above and below
HALF_WIDTH = 2.2  # of a stroke


def draw_images(n: int, pixels: int, rng: np.random.Generator) -> np.ndarray:
    """Return images (n, pixels) uint8: two strokes that wander down the lines of each."""
    lines = -(-pixels // SIDE)
    start, moves = rng.uniform(8, 20, (n, 1, 2)), rng.uniform(-1.5, 1.5, (n, lines, 2))
    strokes = start + moves.cumsum(axis=1)
    ink = (np.abs(np.arange(SIDE) - strokes[..., None]) < HALF_WIDTH).any(axis=2)
    line = np.arange(lines) % SIDE
    ink[:, (line < MARGIN) | (line >= SIDE - MARGIN)] = False
    ink = ink.reshape(n, lines * SIDE)[:, :pixels]
    return np.ascontiguousarray(ink * rng.integers(1, 256, ink.shape, np.uint8))
