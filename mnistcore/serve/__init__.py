"""A web page that reads drawn digits and shows a network learn: ``mnistcore serve [RUN ...]``.

The extra ``[serve]`` has what it needs. The server is one process: requests are answered by an
event loop, and at most one training at a time computes on a thread beside it.
"""

from ..system.callable_module import make_callable
from .command import main, run
from .config import ServeConfig

__all__ = ["ServeConfig", "main", "run"]

make_callable(__name__)
