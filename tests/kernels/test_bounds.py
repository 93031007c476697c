"""No kernel reads or writes outside its arrays: beside each lies a page that may not be touched.

Neither the uncompiled run nor bounds checks see past raw loads; the machine does: a float too far
is a segmentation fault. So calls are made in child processes.
"""

import ctypes
import dataclasses
import random
import sys
from functools import partial

import numpy as np
import pytest
from guarded import guarded

from mnistcore.kernels import layout
from tests.differential.cases import PROGRAMS, draw
from tests.differential.checks import touch_nothing_outside
from tests.differential.search import FailureError, in_a_child

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="mprotect is called through Linux's libc"),
]
CALLS = 12
STRENGTHS = (90, 1, 0.9, 1, 0.5, 0.05, 1), (15, 0.1, 0.1, 0.1, 0.05, 0.2, 0.5)


def test_nothing_outside_the_arrays_is_touched(compiled):
    compiled.compile_programs(lambda progress: None)

    def call(program):
        rng = random.Random(program)
        for _ in range(CALLS):
            touch_nothing_outside(dataclasses.replace(draw(rng), program=program), compiled)

    for program in dict.fromkeys(PROGRAMS):
        in_a_child(partial(call, program))


def test_nothing_outside_images_is_touched(compiled):
    rng = np.random.default_rng(0)

    def deform(side):
        options = guarded(np.zeros(1, layout.AUGMENTATION_DTYPE))
        for place in (guarded, partial(guarded, before=True)):
            for options[0] in STRENGTHS:
                images = place(rng.integers(0, 256, (40, side**2)).astype(np.uint8))
                compiled.augment(images, place(rng.permutation(40)), options, 1, 2, place(images))

    for side in (1, 2, 15, 16, 17, 27, 28, 33):
        in_a_child(partial(deform, side))


@pytest.mark.parametrize(("before", "index"), [(False, 4), (True, -1)])
def test_the_guard_bites(before, index):
    ones = guarded(np.ones(4, np.float32), before=before)

    def read(place):
        return ctypes.c_float.from_address(ones.ctypes.data + 4 * place).value

    assert [in_a_child(partial(read, place)) for place in (0, 3)] == [1.0, 1.0]
    with pytest.raises(FailureError, match="ends with SIGSEGV"):
        in_a_child(partial(read, index))
