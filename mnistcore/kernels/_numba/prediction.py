"""The forward pass over many rows, as a job of tasks: chunks of rows through all layers.

The C function is compiled when this module is imported: at the first prediction, not before.
"""

import numpy as np

from ..layout import DROPOUT, FAN_IN, FAN_OUT
from .elementwise import CONSTANTS, SCALE, SHIFT
from .functions import c_function, entry, inner, pointer
from .plan import INPUT_LEADING, INPUTS, LEADING, NET_COLUMNS, OUTPUT, SCRATCH_SIZE, SCRATCHES, SLOT
from .products import forward_listed
from .simd import (
    address,
    aligned_address,
    atomic_add,
    call,
    load_double,
    load_index,
    set_float_mode,
    store_double,
    store_index,
    store_scalar,
)
from .team import enter, flush_denormals, lead, leave
from .tile import copy_row
from .training import forward_layers, row_of

# The table of a job, int64: C functions, what the network and its scaling fix, what comes with
# each call, and on another cache line the counter that the threads share.
MULTIPLY, MULTIPLY_LISTED, FETCH, FINISH = range(4)
NETS, N_LAYERS, BASE, OWN, OWN_SIZE, CHUNK, LISTS, INTEGERS, INTEGERS_SIZE = range(4, 13)
IN, IN_LEADING, SCRATCH, CONSTANTS_AT, SKIP, SCALE_AT, SHIFT_AT = range(13, 20)  # the last float64
X, FLOATS, ROWS, OUT = range(20, 24)
NEXT_CHUNK = 32
TABLE = 48  # its length


@inner
def _own_net(job, net, own):
    """The net of a thread: its activations lie ``own`` floats on, and nothing drops."""
    n_layers = load_index(job, N_LAYERS)
    for i in range(NET_COLUMNS * n_layers):
        entry, column = load_index(load_index(job, NETS), i), i % NET_COLUMNS
        if column == OUTPUT:
            entry += own
        store_index(net, i, 0 if column == DROPOUT else entry)


@inner
def _predict_chunk(job, first, batch, net, listed, own):
    """Rows [first, first + batch) through all layers, and their logits to their place."""
    base, n_layers, leading = (
        load_index(job, BASE),
        load_index(job, N_LAYERS),
        load_index(job, IN_LEADING),
    )
    inputs, scratch = load_index(job, IN) + own, load_index(job, SCRATCH) + own
    runs = net + 8 * (NET_COLUMNS * n_layers)
    samples = net + 8 * (load_index(job, INTEGERS_SIZE) - load_index(job, CHUNK))
    finish, last = load_index(job, FINISH), row_of(net, n_layers - 1)
    for b in range(batch):
        store_index(samples, b, first + b)
    call(load_index(job, FETCH), (
        load_index(job, X), load_index(job, FLOATS), samples, load_index(net, FAN_IN), 0, batch, 1,
        0, 1, load_index(job, SKIP), listed, base, load_index(job, CONSTANTS_AT) + own, inputs,
        leading,
    ))  # fmt: skip
    if listed:
        forward_listed(
            load_index(job, MULTIPLY_LISTED), finish, base, net, inputs, leading, listed, batch,
            False, (0, 0, 0), samples, scratch, 0, 1,
        )  # fmt: skip
    forward_layers(
        load_index(job, MULTIPLY), finish, base, net, 1 if listed else 0, n_layers, inputs,
        leading, batch, True, 0, batch, 0, 0, samples, runs, scratch, 0, 1, 0, 1,
    )  # fmt: skip
    classes = load_index(last, FAN_OUT)
    for b in range(batch):
        a = load_index(last, OUTPUT) + b * load_index(last, LEADING)
        copy_row(base, a, classes, load_index(job, OUT), (first + b) * classes, classes)


@c_function(3)
def take_chunks(job, thread, threads):
    """Take one chunk of rows after another from the shared counter until there are none."""
    mode = flush_denormals()
    own = load_index(job, OWN) + thread * load_index(job, OWN_SIZE)
    net = load_index(job, INTEGERS) + 8 * load_index(job, INTEGERS_SIZE) * thread
    listed = load_index(load_index(job, LISTS), thread) if load_index(job, LISTS) else 0
    base, constants = load_index(job, BASE), load_index(job, CONSTANTS_AT) + own
    store_scalar(base, constants + SCALE, np.float32(load_double(job, SCALE_AT)))
    store_scalar(base, constants + SHIFT, np.float32(load_double(job, SHIFT_AT)))
    _own_net(job, net, own)
    rows, chunk = load_index(job, ROWS), load_index(job, CHUNK)
    while True:
        first = atomic_add(job, NEXT_CHUNK, 1) * chunk
        if first >= rows:
            break
        _predict_chunk(job, first, min(chunk, rows - first), net, listed, own)
    set_float_mode(mode)


TASKS = pointer(take_chunks)


@entry
def write_table(
    table, functions, nets, totals, packed, buffers, own_size, chunk, lists, integers, skip, scale,
    shift,
):  # fmt: skip
    """What stays from call to call. The table keeps addresses: whoever uses it keeps the arrays.

    ``functions`` are the pointers of the first four entries; ``nets`` and ``totals`` are the plan
    of a chunk for one thread; a thread's own arrays are ``own_size`` floats of ``buffers``;
    ``lists`` holds the address of each thread's table of lists, or nothing.
    """
    job, base = address(table), aligned_address(packed)
    for i in range(4):
        store_index(job, i, functions[i])
    store_index(job, NETS, address(nets))
    store_index(job, N_LAYERS, nets.shape[1])
    store_index(job, BASE, base)
    store_index(job, OWN, (aligned_address(buffers) - base) // 4 - totals[SLOT])
    store_index(job, OWN_SIZE, own_size)
    store_index(job, CHUNK, chunk)
    store_index(job, LISTS, address(lists) if len(lists) else 0)
    store_index(job, INTEGERS, address(integers))
    store_index(job, INTEGERS_SIZE, integers.shape[1])
    store_index(job, IN, totals[INPUTS])
    store_index(job, IN_LEADING, totals[INPUT_LEADING])
    store_index(job, SCRATCH, totals[SCRATCHES])
    store_index(job, CONSTANTS_AT, totals[SCRATCHES] + totals[SCRATCH_SIZE] - CONSTANTS)
    store_index(job, SKIP, skip)
    store_double(job, SCALE_AT, scale)
    store_double(job, SHIFT_AT, shift)


@entry
def predict(tasks, table, x, floats, rows, out, desk, threads):
    """The logits of ``rows`` rows at the address x, bytes or ``floats``, to the address out.

    ``tasks`` is TASKS; members at the desk help if ``threads`` are more than this one.
    """
    job = address(table)
    store_index(job, X, x)
    store_index(job, FLOATS, floats)
    store_index(job, ROWS, rows)
    store_index(job, OUT, out)
    store_index(job, NEXT_CHUNK, 0)
    lead(desk, tasks, job, threads)


@entry
def pack_share(pack_all, nets, params, packed, gate, leads):
    """A thread's share of packing the parameters."""
    thread, threads = enter(gate, leads)
    if thread >= 0:
        call(pack_all, (
            address(nets), nets.shape[1], address(params), aligned_address(packed), 0, thread,
            threads, False,
        ))  # fmt: skip
        leave(gate, thread, threads)
