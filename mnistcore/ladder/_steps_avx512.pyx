include "_cython_steps.pxi"
