"""The forward pass over many rows, as a job of tasks: blocks of rows through all layers."""

from functools import cache
from typing import NamedTuple

import numpy as np

from ..layout import FAN_IN, SKIP_ALL, SKIP_NOTHING
from ..threads import run_tasks, run_team
from .functions import c_function, call, entry, inner, pointer
from .inputs import SPARSE, Source, make_marks, mark_rows
from .machine import atomic_add, flush_denormals, set_float_mode
from .memory import (
    LINE_FLOATS,
    address_of,
    aligned,
    load_index,
    load_record,
    store_index,
    store_record,
)
from .packing import pack
from .plan import LAYER_FIELDS, SKIPS, Batch, Layer, Plan, layer_at, make_plan
from .products import Functions, Masks, Place
from .selection import FUNCTIONS, sparse_widths
from .sparse import MULTIPLY, SparseProduct, sparse_pointers
from .team import Team, attend, enter, lead, leave
from .tile import MR, SUM, copy_row
from .training import forward_layers

_A, _DROPOUT = Layer._fields.index("a"), Layer._fields.index("dropout")


class Call(NamedTuple):
    """The arguments of one call."""

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
    marks: int  # of the address of each thread's Marks; 0: multiply zeros like all else
    scaling: int  # of two float32
    integers: int  # (threads, integers_size) int64 of scratch
    integers_size: int


# The table of a job, int64: a Call, a Job, and on another cache line the number of the next task.
JOB = len(Call._fields)
NEXT_TASK = 32
TABLE = 48  # its length

# What a thread keeps in its int64: records, the layers, the Sum of a product, the row numbers.
MASKS = 0
SOURCE = MASKS + len(Masks._fields)
PRODUCT = SOURCE + len(Source._fields)
MEETINGS = PRODUCT + len(SparseProduct._fields)
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
    """Return where a thread's data are, having written the thread's own records."""
    none, one = np.int64(0), np.int64(1)
    own = job.own + thread * job.own_size
    integers = job.integers + 8 * job.integers_size * thread
    hidden = load_index(job.marks, thread) if job.marks else none
    marks = hidden if load_record(job.net, Layer).skips else none
    fan_in, source = load_record(job.net, Layer).fan_in, integers + 8 * SOURCE
    store_record(source, Source(asked.x, asked.floats, fan_in, one, job.scaling))
    samples = integers + 8 * (job.integers_size - job.block)
    store_record(integers + 8 * MASKS, Masks(none, none, samples))
    net = integers + 8 * NET
    own_net(job, net, own)
    return Place(
        job.base, net, job.n_layers, one, job.inputs + own, job.ld, source, marks, hidden,
        integers + 8 * PRODUCT, none, none, none, job.scratch + own,
        net + 8 * LAYER_FIELDS * job.n_layers, integers + 8 * MASKS, none, none, none, none,
    )  # fmt: skip


@inner
def predict_block(functions, place, team, first, rows, out):
    """Rows [first, first + rows) through all layers, and their logits to their place."""
    samples = load_record(place.masks, Masks).samples
    for b in range(rows):
        store_index(samples, b, first + b)
    call(
        functions.gather,
        (
            place.source, samples, 0, rows, place.marks, place.base, place.inputs, place.ld,
        ),
    )  # fmt: skip
    sparse = load_index(place.marks, SPARSE) if place.marks else 0
    batch = Batch(samples, rows, np.int64(0), rows, sparse)
    forward_layers(functions, place, team, batch, 0)
    last = load_record(layer_at(place.net, place.n_layers - 1), Layer)
    for b in range(rows):
        a, to = last.a + b * last.lda, (first + b) * last.fan_out
        copy_row(place.base, a, last.fan_out, out, to, last.fan_out)


@c_function(3)
def take_blocks(table, thread, threads):
    """Take blocks of rows from the shared counter, one at a time, until none are left."""
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
    """Write the logits of ``rows`` rows at address x, bytes or ``floats``, to address out.

    ``tasks`` is the pointer of :func:`take_blocks`, ``table`` the address of a job's table.
    Threads at the desk help if ``threads`` are more than this one.
    """
    store_record(table, Call(x, floats, rows, out))
    store_index(table, NEXT_TASK, 0)
    lead(desk, tasks, table, threads)


@entry
def pack_share(pack, net, n_layers, params, base, gate, leads):
    """Pack a thread's share of the parameters.

    ``pack`` is the pointer of :func:`.training.pack`; ``net``, ``params`` and ``base`` are the
    addresses of the layers, the parameters and the packed parameters.
    """
    thread, threads = enter(gate, leads)
    if thread >= 0:
        call(pack, (net, n_layers, params, base, 0, thread, threads, False))
        leave(gate, thread, threads)


# ---------------------------------------------------------------------------------------------
# From Python
# ---------------------------------------------------------------------------------------------

BLOCK_TILES = 4  # tiles of rows that a thread predicts at a time: their activations stay in L2
CALLED = "multiply_tile", "gather", "finish_tile", "pack"  # by every forward pass


@cache
def function_pointers(widths: tuple[int, ...]) -> np.ndarray:
    """Compile the C functions that are called and return the record of their pointers.

    ``widths`` are those of the panels of layers whose inputs may be mostly zero.
    """
    pointers = {name: pointer(FUNCTIONS[name]) for name in CALLED}
    if widths:
        pointers["mark_rows"] = pointer(mark_rows)
    sparse = sparse_pointers(widths, MULTIPLY)
    return np.array(Functions(**pointers, sparse=address_of(sparse)), np.int64)


@cache
def tasks() -> int:
    """The pointer of :func:`take_blocks`."""
    return pointer(take_blocks)


def block_rows(n: int) -> int:
    """Rows of the blocks in which n rows are predicted."""
    return min(BLOCK_TILES * MR, max(n, 1))


def forward_plan(layers: np.ndarray, n: int) -> tuple[np.ndarray, Plan, int]:
    """The plan of a block of n rows or fewer, and the floats of each thread's own arrays."""
    net, plan = make_plan(layers, block_rows(n), 0, 1, SKIP_ALL, training=False)
    return net, plan, plan.total - plan.slot_size - LINE_FLOATS


class Prediction:
    """The program of ``forward``: its threads take blocks of rows.

    Parameters
    ----------
    layers
        The layer table.
    block, threads
        The most rows of a block; the most threads.
    skip
        Which zeros may be left out: SKIP_NOTHING, SKIP_HIDDEN or SKIP_ALL.
    scaling
        Scale and shift of the inputs.
    packed, buffers
        float32, for the packed parameters, and for the rest, which is allocated where None.
    """

    def __init__(
        self,
        layers: np.ndarray,
        block: int,
        threads: int,
        skip: int,
        scaling: tuple[float, float],
        packed: np.ndarray,
        buffers: np.ndarray | None = None,
    ) -> None:
        net, plan, own_size = forward_plan(layers, block)
        if buffers is None:
            buffers = np.empty(threads * own_size + LINE_FLOATS, np.float32)
        net = net.copy()
        net[:, 0, SKIPS] &= skip == SKIP_ALL
        net[:, 1:, SKIPS] &= skip != SKIP_NOTHING
        widths = sparse_widths(net)
        marks = make_marks(int(layers[:, FAN_IN].max()), block, threads if widths else 0)
        tables = np.array([address_of(table) for table in marks], np.int64)
        integers = np.empty((threads, NET + net.size + SUM + block), np.int64)
        constants, base = np.array(scaling, np.float32), aligned(address_of(packed))
        self._job = Job(
            functions=address_of(function_pointers(widths)),
            net=address_of(net),
            n_layers=len(layers),
            base=base,
            own=(aligned(address_of(buffers)) - base) // 4 - plan.slot_size,
            own_size=own_size,
            block=block,
            inputs=plan.inputs,
            ld=plan.ld,
            scratch=plan.scratch,
            marks=address_of(tables) if widths else 0,
            scaling=address_of(constants),
            integers=address_of(integers),
            integers_size=integers.shape[1],
        )
        self._table = np.zeros(TABLE, np.int64)
        self._table[JOB : JOB + len(self._job)] = self._job
        self._address, self._threads = address_of(self._table), threads
        # The table holds the addresses of these.
        self._kept = net, packed, buffers, marks, tables, integers, constants

    def pack(self, params: np.ndarray, threads: int) -> None:
        """Pack the parameters, on at most ``threads`` threads."""
        function, job, start = pointer(pack), self._job, address_of(params)

        def work(gate: int, leads: bool) -> None:
            pack_share(function, job.net, job.n_layers, start, job.base, gate, leads)

        run_team(min(self._threads, threads), work)

    def run(self, x: np.ndarray, logits: np.ndarray) -> None:
        """Compute the logits (N, C) of all rows of x (N, I), uint8 or float32."""
        asked = address_of(x), int(x.dtype == np.float32), len(x), address_of(logits)
        if self._threads == 1:
            predict(tasks(), self._address, *asked, 0, 1)
            return

        def work(desk: int, threads: int) -> None:
            predict(tasks(), self._address, *asked, desk, threads)

        run_tasks(self._threads, work, attend)
