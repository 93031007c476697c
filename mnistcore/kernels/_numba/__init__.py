"""The compiled parts of the Numba backend; ``numba_kernels`` is their public interface.

``cache``        the folder of compiled code
``compiler``     how Numba compiles the functions
``functions``    the kinds of compiled function, and their compiler options
``intrinsics``   the building blocks of the five modules below
``machine``      instruction sets, atomic numbers, the floating-point mode
``memory``       numbers, addresses and records
``vectors``      the vector type
``integers``     the same of int32
``blocks``       square blocks of vectors, transposed
``bits``         sets of bits
``tile``         the register tile, and panels
``elementwise``  exp, tanh and the activations
``dropout``, ``losses``, ``updates``   as named, on vectors and as kernels
``augment``      deformed images
``team``         barriers between the threads of a team, the division of work
``inputs``       the gather of a batch, and lists of its nonzeros
``narrow``       a first layer of few units, ``strips`` its vectors
``plan``         the layout of the workspace, the division of a step, packing
``products``     the products of a layer, and what follows each
``training``     the training step
``prediction``   the forward pass over many rows
``matvec``       products with one or two vectors
``matmul``       the stand-alone matrix products
``programs``     what is compiled together, by several processes

Importing them compiles nothing, except for ``matmul``: a program is compiled, or read from disk,
when it is first called.
"""
