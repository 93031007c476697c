"""Functions that draw results as matplotlib figures, without pyplot and its global state.

Each takes plain arrays, or what :mod:`mnistcore.evaluate` and :mod:`mnistcore.runs.folder`
return, and returns a new :class:`matplotlib.figure.Figure`. A notebook displays it, ``savefig``
writes it to a file, and it can be drawn in any thread.
"""

from .baselines import compare_baselines
from .calibration import reliability_diagram
from .comparison import compare_accuracy, compare_learning
from .confusion import confusion_matrix
from .data import (
    class_distribution,
    deformations,
    pixel_statistics,
    preprocessing,
    sample_sheet,
)
from .galleries import mistakes_gallery, predictions_gallery
from .learning import learning_curves
from .network import first_layer_weights, hidden_activations, hidden_projection, saliency

__all__ = [
    "class_distribution",
    "compare_accuracy",
    "compare_baselines",
    "compare_learning",
    "confusion_matrix",
    "deformations",
    "first_layer_weights",
    "hidden_activations",
    "hidden_projection",
    "learning_curves",
    "mistakes_gallery",
    "pixel_statistics",
    "predictions_gallery",
    "preprocessing",
    "reliability_diagram",
    "saliency",
    "sample_sheet",
]
