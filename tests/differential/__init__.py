"""Random cases for the compiled backends: ``python -m tests.differential --backend cython``.

A case is a network with options and data, or a single kernel, and ways to compute it: on several
threads, in slices, with zeros multiplied. All ways come to the same bits; results are compared with
the reference in float64, number by number, within errors that :mod:`.rough` estimates from how they
were computed. What fails is made smaller as long as it fails.
"""
