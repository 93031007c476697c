"""Optional libraries, and what to install if one is missing."""

import importlib
from pathlib import Path
from types import ModuleType

_SOURCE = Path(__file__).parents[2]


class MissingExtraError(ImportError):
    """A library is not installed; the message names the extra that contains it."""


def installation(extra: str) -> str:
    """Return the command that adds an extra to this installation.

    In a source folder it installs from there. An installed package is on no registry, but pip
    reads what its extras need from its metadata.
    """
    if (_SOURCE / "pyproject.toml").is_file():
        return f'pip install -e ".[{extra}]" in {_SOURCE}'
    return f'pip install "mnistcore[{extra}]"'


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
            f"{module} is needed and cannot be imported ({error}); {installation(extra)}"
        ) from error
