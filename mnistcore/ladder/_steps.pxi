# The ladders in Cython. setup.py compiles this file once for each instruction set, as it does with
# the kernels. The first steps of a ladder are taken from the baseline build, which uses no
# instruction-set flags: vectors of 4 floats on x86, without FMA.

import numpy as np

from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memcpy, memset

include "../kernels/_cython/constants.pxi"
include "../kernels/_cython/machine.pxi"
include "../kernels/_cython/team.pxi"
include "matmul/steps.pxi"
include "softmax/steps.pxi"
include "adam/steps.pxi"
include "../kernels/_cython/bits.pxi"
include "gather/steps.pxi"
