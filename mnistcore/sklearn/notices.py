"""Warnings, where a user of scikit-learn looks for them."""

import sys
import warnings

# In the name of the module in which scikit-learn's networks warn, so that the filters that people
# have for those, such as ``filterwarnings("ignore", module="sklearn")``, hold for ours.
MODULE = "sklearn.neural_network._multilayer_perceptron"
_INSIDE = ("mnistcore.", "sklearn.")


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn in the name of scikit-learn's module, at the line of the user's that called ``fit``."""
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
