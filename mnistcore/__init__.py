"""Multi-layer perceptrons on handwritten digits, from scratch, at the speed of the machine.

Importing this package loads neither a compiler nor plotting libraries; :func:`get_backend` loads
a backend on request.
"""

from .kernels.backends import BackendUnavailableError, available_backends, get_backend
from .kernels.threads import get_num_threads, set_num_threads
from .system import version

__version__ = version.VERSION

__all__ = [
    "BackendUnavailableError",
    "__version__",
    "available_backends",
    "get_backend",
    "get_num_threads",
    "set_num_threads",
]
