"""The ladder of a matrix product: from three loops in Python to the kernel of training."""

from .problem import LADDER

__all__ = ["LADDER"]
