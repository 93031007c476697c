"""The ladder of a training step: from lists in Python to the program that trains all epochs."""

from .problem import LADDER

__all__ = ["LADDER"]
