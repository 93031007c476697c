"""The compiled parts of the Numba backend; ``numba_kernels`` is the public face over them.

``cache``        the folder of compiled code
``functions``    the kinds of compiled function, and what they are compiled with
``intrinsics``   what the five modules below are made of
``machine``      instruction sets, atomic numbers, the floating-point mode
``memory``       numbers, addresses and records
``vectors``      the vector type
``blocks``       square blocks of vectors, transposed
``bits``         sets of bits
``tile``         the register tile, and panels
``elementwise``  exp, tanh and the activations
``dropout``, ``losses``, ``updates``   what their names say, on vectors and as kernels
``team``         barriers between the threads of a team, the division of work
``inputs``       the gather of a batch, and where it is not zero
``plan``         where everything lies in the workspace, how a step is divided, packing
``products``     the products of a layer, and what follows each
``training``     the training step
``prediction``   the forward pass over many rows
``matmul``       the matrix products that stand alone

To import them compiles nothing, but for ``matmul``: a program is compiled, or read from the
disk, when it is first called.
"""
