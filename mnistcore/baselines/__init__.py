"""Compare other classifiers on the same digits: ``run(dataset)``, ``mnistcore baselines``."""

from ..system.callable_module import make_callable
from .command import figure, main, table
from .comparison import BASELINES, Baseline, Score, run

__all__ = ["BASELINES", "Baseline", "Score", "figure", "main", "run", "table"]

make_callable(__name__)
