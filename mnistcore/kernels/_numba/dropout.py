"""Random numbers and dropout, as in ``layout.random_bits``."""

import numpy as np

from ..layout import GOLDEN, LOW_BITS
from .functions import entry, inner
from .memory import address, load_scalar, store_scalar


@inner
def mix(bits):
    """Scramble one uint32, as ``layout.mix32`` does."""
    bits = np.uint32(bits)
    bits = np.uint32(bits ^ (bits >> np.uint32(16)))
    bits = np.uint32(bits * np.uint32(0x7FEB352D))
    bits = np.uint32(bits ^ (bits >> np.uint32(15)))
    bits = np.uint32(bits * np.uint32(0x846CA68B))
    return np.uint32(bits ^ (bits >> np.uint32(16)))


@inner
def row_key(seed, epoch, sample, layer):
    """Return the key from which the numbers of one sample in one layer are drawn."""
    key = mix(np.uint32(seed & LOW_BITS))
    key = mix(np.uint32(key + np.uint32(epoch & LOW_BITS)))
    key = mix(np.uint32(key + np.uint32(sample & LOW_BITS)))
    return mix(np.uint32(key + np.uint32(layer & LOW_BITS)))


@inner
def is_kept(key, unit, threshold):
    """Whether dropout keeps a unit, given the key of its sample and layer."""
    product = np.uint32(np.uint32(unit) * GOLDEN)
    return mix(np.uint32(key ^ product)) >= np.uint32(threshold)


@inner
def keep_factor(threshold):
    """Return the factor that kept units are multiplied by: 1 / (1 - rate)."""
    return np.float32(1.0 / (1.0 - threshold / (LOW_BITS + 1.0)))


@inner
def drop_row(base, position, n, first_unit, key, threshold, target, target_position):
    """Drop out n units of one sample, from base + position to target + target_position."""
    factor = keep_factor(threshold)
    for i in range(n):
        value = load_scalar(base, position + i) * factor
        if not is_kept(key, first_unit + i, threshold):
            value = np.float32(0.0)
        store_scalar(target, target_position + i, value)


@entry
def dropout(a, samples, threshold, seed, epoch, layer, out):
    """Apply dropout to each row: a and out (B, O) float32, samples (B,) int64.

    A unit drops if its random number is below ``threshold``.
    """
    base, out_base = address(a), address(out)
    rows, n = a.shape
    for r in range(rows):
        key = row_key(seed, epoch, samples[r], layer)
        drop_row(base, r * n, n, 0, key, threshold, out_base, r * n)
