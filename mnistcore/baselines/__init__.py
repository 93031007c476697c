"""Compare other classifiers on the same digits: ``run(dataset)``, ``mnistcore baselines``."""

from .command import figure, main, table
from .comparison import BASELINES, Baseline, Score, run

__all__ = ["BASELINES", "Baseline", "Score", "figure", "main", "run", "table"]
