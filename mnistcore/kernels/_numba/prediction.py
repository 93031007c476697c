"""The forward pass over many rows, as a job of tasks: blocks of rows through all layers."""

from typing import NamedTuple

import numpy as np

from .functions import c_function, call, entry, inner
from .inputs import Source
from .machine import atomic_add, flush_denormals, set_float_mode
from .memory import (
    load_index,
    load_record,
    store_index,
    store_record,
)
from .plan import LAYER_FIELDS, Layer, layer_at
from .products import Functions, Masks, Place, forward_listed
from .team import Team, enter, lead, leave
from .tile import copy_row
from .training import Batch, forward_layers

_A, _DROPOUT = Layer._fields.index("a"), Layer._fields.index("dropout")


class Call(NamedTuple):
    """What comes with each call."""

    x: int  # address of bytes, or of floats
    floats: int
    rows: int
    out: int  # address of the logits


class Job(NamedTuple):
    """What the network and its scaling fix: addresses and numbers."""

    functions: int  # of Functions
    net: int  # of the layers, as one thread would have them
    n_layers: int
    base: int  # of the packed parameters
    own: int  # floats from there to the thread's own arrays, less the packed parameters
    own_size: int  # floats from one thread's arrays to the next one's
    block: int  # the most rows that a thread predicts at a time
    inputs: int  # of one thread, as in the plan
    ld: int
    scratch: int
    lists: int  # of the address of each thread's Lists; 0: multiply zeros like all else
    scaling: int  # of two float32
    integers: int  # (threads, integers_size) int64 of scratch
    integers_size: int


# The table of a job, int64: a Call, a Job, and on another cache line the number of the next task.
JOB = len(Call._fields)
NEXT_TASK = 32
TABLE = 48  # its length

# What a thread keeps in its int64: records, the layers, the runs of a product, the row numbers.
MASKS = 0
SOURCE = MASKS + len(Masks._fields)
MEETINGS = SOURCE + len(Source._fields)
NET = MEETINGS + 1


@inner
def own_net(job, net, own):
    """The layers of a thread: its activations lie ``own`` floats on, and nothing drops."""
    for i in range(LAYER_FIELDS * job.n_layers):
        store_index(net, i, load_index(job.net, i))
    for number in range(job.n_layers):
        layer = layer_at(net, number)
        store_index(layer, _A, load_index(layer, _A) + own)
        store_index(layer, _DROPOUT, 0)


@inner
def place_of(asked, job, thread):
    """Where a thread's things are; it writes its own records."""
    none, one = np.int64(0), np.int64(1)
    own = job.own + thread * job.own_size
    integers = job.integers + 8 * job.integers_size * thread
    lists = load_index(job.lists, thread) if job.lists else none
    fan_in, source = load_record(job.net, Layer).fan_in, integers + 8 * SOURCE
    store_record(source, Source(asked.x, asked.floats, fan_in, one, none, one, one, job.scaling))
    samples = integers + 8 * (job.integers_size - job.block)
    store_record(integers + 8 * MASKS, Masks(none, none, samples))
    net = integers + 8 * NET
    own_net(job, net, own)
    return Place(
        job.base, net, job.n_layers, one, job.inputs + own, job.ld, source, lists, none, none,
        job.scratch + own, net + 8 * LAYER_FIELDS * job.n_layers, integers + 8 * MASKS, none,
        none, none,
    )  # fmt: skip


@inner
def predict_block(functions, place, team, first, rows, out):
    """Rows [first, first + rows) through all layers, and their logits to their place."""
    samples = load_record(place.masks, Masks).samples
    for b in range(rows):
        store_index(samples, b, first + b)
    call(
        functions.gather,
        (place.source, samples, 0, rows, place.lists, place.base, place.inputs, place.ld),
    )
    if place.lists:
        forward_listed(functions, place, team, rows)
    batch = Batch(samples, rows, np.int64(0), rows)
    forward_layers(functions, place, team, batch, 1 if place.lists else 0)
    last = load_record(layer_at(place.net, place.n_layers - 1), Layer)
    for b in range(rows):
        a, to = last.a + b * last.lda, (first + b) * last.fan_out
        copy_row(place.base, a, last.fan_out, out, to, last.fan_out)


@c_function(3)
def take_blocks(table, thread, threads):
    """Take one block of rows after another from the shared counter until there are none."""
    mode = flush_denormals()
    asked, job = load_record(table, Call), load_record(table + 8 * JOB, Job)
    functions, place = load_record(job.functions, Functions), place_of(asked, job, thread)
    none = np.int64(0)
    team = Team(none, none, np.int64(1), place.masks + 8 * (MEETINGS - MASKS))
    while True:
        first = atomic_add(table, NEXT_TASK, 1) * job.block
        if first >= asked.rows:
            break
        rows = min(job.block, asked.rows - first)
        predict_block(functions, place, team, first, rows, asked.out)
    set_float_mode(mode)


@entry
def predict(tasks, table, x, floats, rows, out, desk, threads):
    """The logits of ``rows`` rows at the address x, bytes or ``floats``, to the address out.

    ``tasks`` is the pointer of :func:`take_blocks`, ``table`` the address of a job's table.
    Threads at the desk help if ``threads`` are more than this one.
    """
    store_record(table, Call(x, floats, rows, out))
    store_index(table, NEXT_TASK, 0)
    lead(desk, tasks, table, threads)


@entry
def pack_share(pack, net, n_layers, params, base, gate, leads):
    """A thread's share of packing the parameters.

    ``pack`` is the pointer of :func:`.plan.pack`; the layers, the parameters and what they are
    packed to are named by their addresses.
    """
    thread, threads = enter(gate, leads)
    if thread >= 0:
        call(pack, (net, n_layers, params, base, 0, thread, threads, False))
        leave(gate, thread, threads)
