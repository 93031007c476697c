"""Warnings that are attributed to scikit-learn's module."""

import sys
import warnings

# The module of scikit-learn's networks, so that existing filters for their warnings, such as
# ``filterwarnings("ignore", module="sklearn")``, also match ours.
MODULE = "sklearn.neural_network._multilayer_perceptron"
_INSIDE = ("mnistcore.", "sklearn.")


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn on behalf of scikit-learn's module, at the line in the user's code that called fit."""
    frame = sys._getframe(1)
    while frame.f_back and frame.f_globals.get("__name__", "").startswith(_INSIDE):
        frame = frame.f_back
    warnings.warn_explicit(
        message,
        category,
        frame.f_code.co_filename,
        frame.f_lineno,
        MODULE,
        frame.f_globals.setdefault("__warningregistry__", {}),
    )
