"""Damaged and hostile files for every reader: ``python -m tests.fuzz --executions N``.

A target has valid files, which :mod:`.mutation` changes, and a function that reads one. It may
raise only what the reader documents, within a bound of seconds and of memory.
"""
