"""Warnings that are attributed to scikit-learn's module."""

import sys
import warnings
from typing import Any

from sklearn.exceptions import ConvergenceWarning

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


def warn_of_lbfgs(result: Any, n_iter: int, max_iter: int, max_fun: int) -> None:
    """Warn of SciPy's result in scikit-learn's words, with advice that fits the reason."""
    advice = "scale the data"
    if result.nit >= max_iter:
        advice = f"Increase the number of iterations (max_iter={max_iter}) or {advice}"
    elif result.nfev >= max_fun:
        advice = f"Increase the number of evaluations (max_fun={max_fun}) or {advice}"
    warn(
        f"lbfgs failed to converge after {n_iter} iteration(s) (status={result.status}):"
        f"\n{result.message}\n{advice[:1].upper()}{advice[1:]}.",
        ConvergenceWarning,
    )
