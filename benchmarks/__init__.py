"""Benchmarks: how fast the kernels are, and how near to what the machine allows.

``bench_*.py``           for pytest-benchmark: ``pytest --benchmark-only`` in the root folder
``sizes``                every network, batch and shape that is timed, and for how long
``ceilings``             the machine's limits, measured: multiply-adds and memory bandwidth
``workloads``            a training run and inputs for kernels, ready to be timed and verified
``python -m benchmarks.peers``   the comparison with other libraries, as JSON and tables
``python -m benchmarks.plots``   pictures of such a comparison

Nothing is timed before its result was compared with the reference.
``MNISTCORE_BENCH_QUICK=1`` shrinks everything, to show that it works: such figures mean nothing.
"""
