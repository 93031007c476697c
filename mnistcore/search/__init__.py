"""Hyperparameter search: grid, random search or TPE, in several processes, resumable.

``run(SearchConfig(...), space, train)`` in Python, ``mnistcore search`` in the shell. Optuna (the
extra ``[search]``) chooses the points and stores the study in a database. Each trial trains a
network and is scored on validation images. :mod:`.space` defines what can be searched.
"""

from typing import TYPE_CHECKING, Any

from ..system.callable_module import make_callable
from .command import main
from .config import SearchConfig

if TYPE_CHECKING:
    from .execution import SearchInterrupted, run
    from .results import SearchResult

__all__ = ["SearchConfig", "SearchInterrupted", "SearchResult", "main", "run"]

_WITH_OPTUNA = {"run": "execution", "SearchInterrupted": "execution", "SearchResult": "results"}


def __getattr__(name: str) -> Any:
    """Import the names that need Optuna on first use."""
    if name not in _WITH_OPTUNA:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    from ..system.extras import require

    require("optuna", "search")
    return getattr(import_module(f".{_WITH_OPTUNA[name]}", __name__), name)


make_callable(__name__)
