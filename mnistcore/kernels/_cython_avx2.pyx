include "_cython_engine/kernels.pxi"
