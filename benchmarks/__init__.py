"""Benchmarks: how fast the kernels are, and how close to the limits of the machine.

``bench_*.py``           for pytest-benchmark: ``pytest --benchmark-only`` in the root folder
``sizes``                every network, batch and shape that is timed, and for how long
``ceilings``             the machine's limits, measured: multiply-adds and memory bandwidth
``workloads``            calls of kernels and training runs: how they are verified and timed
``python -m benchmarks.peers``   the comparison with other libraries, as JSON and tables
``python -m benchmarks.plots``   pictures of such a comparison

Nothing is timed before its results have been compared with the reference's.
``MNISTCORE_BENCH_QUICK=1`` shrinks everything to show that it works; such figures mean nothing.
"""
