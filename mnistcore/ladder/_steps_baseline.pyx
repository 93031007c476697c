include "_steps.pxi"
