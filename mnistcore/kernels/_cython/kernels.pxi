"""The compiled kernels of one instruction set; ``cython_kernels`` is their public face.

Design note
-----------
(a) *One source, three modules.* ``avx512``, ``avx2`` and ``baseline`` include this file and
    differ only in compiler flags (``setup.py``). Every kernel is written for vectors of VL
    floats; VL and the height MR of the register tile are the only numbers that change. Function
    multiversioning within one module was rejected, because the tile must be inlined into loops
    that are compiled for the same instruction set.
(b) *Vectors, not auto-vectorisation.* GCC and Clang have a vector type with the usual operators.
    ``vectors.pxi`` declares it in a few lines of C, and Cython treats it as a float.
    Products and sums are contracted to FMA only where the source says ``fma``
    (``-ffp-contract=off``), so the bits of an element do not depend on how the compiler
    specialised the loop around it, on the tile that holds it, or on the thread that owns it.
(c) *One micro-kernel* (``tile.pxi``) computes every matrix product. It writes its tile to a
    scratch buffer that stays in the L1 cache, and whatever follows a product (bias, activation,
    optimizer, derivative) reads it from there. This is 2 % slower than keeping the tile in
    registers, but takes one kernel instead of one for each combination.
(d) *A program is one compiled call* (``training.pxi``, ``prediction.pxi``). All threads run the
    same function over all steps and meet at spin barriers. Weights and optimizer state are
    packed into panels on entry and unpacked on exit, so that no product packs anything during
    a step.

Sizes are int64 and strides count elements. The files have the same names as those of the Numba
engine; ``constants.pxi`` has what C must know of ``layout`` and ``threads`` at compile time.
"""

from libc.math cimport isfinite, log, log1p, pow, sqrt as sqrt_double

include "constants.pxi"
include "machine.pxi"
include "vectors.pxi"
include "integers.pxi"
include "memory.pxi"
include "bits.pxi"
include "blocks.pxi"
include "team.pxi"
include "sparse.pxi"
include "tile.pxi"
include "elementwise.pxi"
include "dropout.pxi"
include "augment.pxi"
include "updates.pxi"
include "matvec.pxi"
include "matmul.pxi"
include "inputs.pxi"
include "strips.pxi"
include "narrow.pxi"
include "plan.pxi"
include "packing.pxi"
include "losses.pxi"
include "products.pxi"
include "normalization.pxi"
include "gradients.pxi"
include "norms.pxi"
include "averaging.pxi"
include "training.pxi"
include "clipping.pxi"
include "prediction.pxi"
