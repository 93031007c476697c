"""Bugs that the tests must catch, planted one at a time in a copy: ``python -m tests.mutants``."""
