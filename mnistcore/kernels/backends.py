"""Look up backends by name: modules with the same kernels and programs, loaded on demand."""

import importlib
from types import ModuleType

from ..system.errors import did_you_mean

# Fastest first: "auto" takes the first that is available.
BACKENDS = ("cython", "numba", "numpy")


class BackendUnavailableError(ImportError):
    """A known backend cannot be loaded here; the message says why and what to do."""


def get_backend(name: str = "auto") -> ModuleType:
    """Return the kernels module of a backend; "auto" selects the fastest one available.

    Returns
    -------
    ModuleType
        The module, with the functions that :mod:`mnistcore.kernels` describes.

    Raises
    ------
    ValueError
        If no backend has that name.
    BackendUnavailableError
        If the backend cannot be loaded on this machine.

    Examples
    --------
    >>> import mnistcore
    >>> import numpy as np
    >>> kernels = mnistcore.get_backend("numpy")
    >>> a, b, out = np.eye(2), np.array([[1.0, 2.0], [3.0, 4.0]]), np.empty((2, 2))
    >>> kernels.matmul(a, b, out)
    >>> out
    array([[1., 2.],
           [3., 4.]])
    """
    if name == "auto":
        name = next(name for name in BACKENDS if unavailable_reason(name) is None)
    if name not in BACKENDS:
        hint = did_you_mean(str(name), (*BACKENDS, "auto"), "backends")
        raise ValueError(f"unknown backend {name!r}; {hint}")
    try:
        return importlib.import_module(f".{name}_kernels", __package__)
    except ImportError as error:
        raise BackendUnavailableError(f"backend {name} is not available: {error}") from error


def get_ready_backend(backend: str | ModuleType = "auto") -> ModuleType:
    """Return the kernels module of a backend; "auto" selects one that need not compile.

    That is cython if available, otherwise numpy: a single picture is read before Numba would have
    compiled its kernels. A module is returned as it is. Raises as :func:`get_backend`.
    """
    if isinstance(backend, ModuleType):
        return backend
    if backend == "auto":
        backend = "numpy" if unavailable_reason("cython") else "cython"
    return get_backend(backend)


def unavailable_reason(name: str) -> str | None:
    """Return why a backend cannot be loaded, or None if it can; ValueError if it is unknown."""
    try:
        get_backend(name)
    except BackendUnavailableError as error:
        return str(error)
    return None


def available_backends() -> tuple[str, ...]:
    """Return the names of the backends that load here, fastest first; "numpy" always does.

    Returns
    -------
    tuple of str

    Examples
    --------
    >>> import mnistcore
    >>> "numpy" in mnistcore.available_backends()
    True
    """
    return tuple(name for name in BACKENDS if unavailable_reason(name) is None)
