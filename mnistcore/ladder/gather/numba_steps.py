"""The ladder in Numba: from loops over pixels to the gather of the training program.

Every step is a function ``step(x, order, scale, out, marks)`` that writes ``out`` and ``marks``.
"""

import numpy as np

from ...kernels._numba.bits import WORD, nonzero_bits, nonzero_bits_first
from ...kernels._numba.functions import call, pointer
from ...kernels._numba.inputs import Marks, Source, gather
from ...kernels._numba.intrinsics import BYTES
from ...kernels._numba.machine import VL
from ...kernels._numba.memory import address, prefetch, store_record
from ...kernels._numba.team import enter, leave, share
from ...kernels.threads import WAKING, run_team, team_size
from ..compiling import compiled
from ..step import Step
from .arguments import WORD_BYTES, checked
from .problem import LESSONS


@checked
@compiled
def naive(x, order, scale, out, marks):
    """Take a pixel of all images, then the next pixel of all."""
    marks[:] = 0
    for c in range(x.shape[1]):
        for b in range(len(order)):
            pixel = x[order[b], c]
            out[b, c] = pixel * scale
            if pixel != 0:
                marks[b, c // 8] |= np.uint8(1 << c % 8)


@checked
@compiled
def row_by_row(x, order, scale, out, marks):
    """Take an image, then the next: the loops have changed places."""
    marks[:] = 0
    for b in range(len(order)):
        for c in range(x.shape[1]):
            pixel = x[order[b], c]
            out[b, c] = pixel * scale
            if pixel != 0:
                marks[b, c // 8] |= np.uint8(1 << c % 8)


@compiled
def _scale_row(row, scale, out):
    """Convert a row, eight or sixteen pixels at a time: the compiler sees to that."""
    for c in range(len(row)):
        out[c] = row[c] * scale


@compiled
def _mark_row(row, marks):
    """Mark a row, and write each byte of marks once."""
    for k in range(len(marks)):
        byte = np.uint8(0)
        for i in range(min(8, len(row) - 8 * k)):
            byte |= np.uint8((row[8 * k + i] != 0) << i)
        marks[k] = byte


@checked
@compiled
def two_loops(x, order, scale, out, marks):
    """Scale a row in a loop without branches, and mark it in another."""
    for b in range(len(order)):
        row = x[order[b]]
        _scale_row(row, scale, out[b])
        _mark_row(row, marks[b])


@compiled
def _mark_words(row, words):
    """Mark 64 pixels at a time: compare them in vectors, and take a bit from each comparison."""
    pixels, whole = address(row), len(row) // WORD
    for w in range(whole):
        words[w] = nonzero_bits(pixels, w * WORD, BYTES)
    if whole < len(words):
        words[whole] = nonzero_bits_first(pixels, whole * WORD, len(row) - whole * WORD, BYTES)


@checked
@compiled
def bits(x, order, scale, out, marks):
    """Mark a word of pixels at a time."""
    words = marks.view(np.int64)
    for b in range(len(order)):
        row = x[order[b]]
        _scale_row(row, scale, out[b])
        _mark_words(row, words[b])


ROWS_AHEAD, LINE = 4, 64  # how early, and the bytes that come at once


@compiled
def _fetch_row(row):
    """Ask for the lines of a row, and do not wait for them."""
    for c in range(0, len(row), LINE):
        prefetch(address(row), c)


@checked
@compiled
def prefetching(x, order, scale, out, marks):
    """Ask for the image that comes four images later."""
    words = marks.view(np.int64)
    for b in range(len(order)):
        _fetch_row(x[order[min(b + ROWS_AHEAD, len(order) - 1)]])
        row = x[order[b]]
        _scale_row(row, scale, out[b])
        _mark_words(row, words[b])


RECORD = 8  # int64, at least as many as a Source or Marks has


@compiled
def _gather_share(function, x, order, scaling, records, out, marks, gate, leads):
    """Call the gather of the training program for a thread's share of the rows.

    It writes whole vectors, so the last rows of a share, which end beyond it, go through a buffer.
    """
    index, count = enter(gate, leads)
    first, stop = share(len(order), index, count)
    if index >= 0 and first < stop:
        pixels, last = x.shape[1], np.empty(x.shape[1] + VL, np.float32)
        source, noted = address(records[index]), address(records[index, RECORD:])
        store_record(source, Source(address(x), 0, pixels, 1, address(scaling)))
        store_record(noted, Marks(address(marks), 0, marks.shape[1] // WORD_BYTES, 0, 0))
        rows, end = address(order), max(first, stop + (1 - VL) // pixels)
        call(function, (source, rows, first, end, noted, address(out), 0, pixels))
        for b in range(end, stop):
            call(function, (source, rows, b, b + 1, noted, address(last), 0, 0))
            out[b] = last[:pixels]
    leave(gate, index, count)


@checked
def production(x, order, scale, out, marks):
    """Divide the rows among the threads, each of which runs the gather of the training program."""
    count, function = team_size(out.size, WAKING), pointer(gather)
    scaling, records = np.array([scale, 0], np.float32), np.empty((count, 2 * RECORD), np.int64)
    run_team(
        count,
        lambda gate, leads: _gather_share(
            function, x, order, scaling, records, out, marks, gate, leads
        ),
    )


STEPS = [
    Step(LESSONS["naive loops"], naive, (naive,)),
    Step(LESSONS["row by row"], row_by_row, (row_by_row,)),
    Step(LESSONS["two loops"], two_loops, (two_loops, _scale_row, _mark_row)),
    Step(LESSONS["bits"], bits, (bits, _scale_row, _mark_words)),
    Step(LESSONS["prefetch"], prefetching, (prefetching, _fetch_row, _scale_row, _mark_words)),
    Step(LESSONS["production"], production, (production, _gather_share, gather)),
]
