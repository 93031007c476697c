"""The ladder of Adam, one update of all parameters: from a loop in Python to the kernel."""

from .problem import LADDER

__all__ = ["LADDER"]
