"""Optional libraries, and what to install if one is missing."""

import importlib
from types import ModuleType


class MissingExtraError(ImportError):
    """A library is not installed; the message names the extra that contains it."""


def require(module: str, extra: str) -> ModuleType:
    """Import a library that belongs to an extra.

    Raises
    ------
    MissingExtraError
        If the library is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f'{module} is needed and cannot be imported ({error}); pip install "mnistcore[{extra}]"'
        ) from error
