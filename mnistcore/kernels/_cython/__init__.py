"""The compiled parts of the Cython backend, a module per instruction set; see ``kernels.pxi``."""
