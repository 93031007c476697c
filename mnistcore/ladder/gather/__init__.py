"""The ladder of the gather: from loops in Python to what training reads its images with."""

from .problem import LADDER

__all__ = ["LADDER"]
