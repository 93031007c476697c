"""Which C functions a training program needs: only those are compiled."""

from functools import cache

import numpy as np

from . import averaging, clipping, normalization, norms
from .functions import pointer
from .inputs import gather, mark_columns, mark_rows
from .losses import loss_rows, soft_rows
from .memory import address_of
from .narrow import functions_for
from .packing import pack, unpack
from .plan import SKIPS, WIDTH
from .products import Functions, derive_tile, finish_tile
from .sparse import MULTIPLY, UPDATE_MARKED, sparse_pointers
from .tile import multiply_tile
from .updates import FUSED, multiply_and_update, update_vectors

# The C functions of every training program; further ones are for some networks and data.
FUNCTIONS = {
    "multiply_tile": multiply_tile,
    "gather": gather,
    "finish_tile": finish_tile,
    "pack": pack,
    "unpack": unpack,
    "loss_rows": loss_rows,
    "derive_tile": derive_tile,
    "update_vectors": update_vectors,
}
if FUSED:
    FUNCTIONS["multiply_and_update"] = multiply_and_update
# Those of some programs, by what they are for.
FURTHER = {
    "normalized": normalization.FUNCTIONS,
    "soft": {"soft_rows": soft_rows},
    "limited": norms.FUNCTIONS,
    "averaged": averaging.FUNCTIONS,
    "clipped": clipping.FUNCTIONS,
}


def further_functions(options: np.ndarray, normalized: bool, soft_targets: bool) -> list[str]:
    """Return the names of the sets of functions, of FURTHER, that a program needs."""
    needed = {
        "normalized": normalized,
        "soft": soft_targets or options["label_smoothing"][0],
        "limited": options["max_norm"][0],
        "averaged": options["ema_decay"][0],
        "clipped": options["clip_norm"][0],
    }
    return [name for name in FURTHER if needed[name]]


@cache
def function_pointers(
    narrow: tuple[int, bool, int] | None, widths: tuple[int, ...], *further: str
) -> np.ndarray:
    """Compile the C functions that a program needs and return the record of their pointers.

    ``narrow`` are the arguments of :func:`.narrow.functions_for`, if the first layer is narrow;
    ``widths`` are those of the panels of layers whose inputs may be mostly zero; ``further``
    names more sets of functions, of FURTHER.
    """
    functions = dict(FUNCTIONS)
    if narrow:
        del functions["gather"]
        functions |= functions_for(*narrow)
    for name in further:
        functions |= FURTHER[name]
    if widths:
        functions |= {"mark_rows": mark_rows, "mark_columns": mark_columns}
    pointers = {name: pointer(function) for name, function in functions.items()}
    sparse = sparse_pointers(widths, (*MULTIPLY, *UPDATE_MARKED))
    return np.array(Functions(**pointers, sparse=address_of(sparse)), np.int64)


def sparse_widths(net: np.ndarray) -> tuple[int, ...]:
    """Return the widths of the panels of those layers whose inputs may be mostly zero."""
    return tuple(sorted({int(layer[WIDTH]) for layer in net[0] if layer[SKIPS]}))
