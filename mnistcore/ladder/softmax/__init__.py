"""The ladder of softmax-cross-entropy: from loops in Python to the kernel of training."""

from .problem import LADDER

__all__ = ["LADDER"]
