"""scikit-learn's ``MLPClassifier`` and ``MLPRegressor`` on the kernels of this package.

Parameters have scikit-learn's names, meanings and defaults, and random numbers are drawn in the
same way, so changing the import is enough. ::

    from mnistcore.sklearn import MLPClassifier  # was: from sklearn.neural_network import ...

    classifier = MLPClassifier((128,), learning_rate="one-cycle", dropout=0.2, max_iter=20)
    classifier.fit(X, y, X_val=X_val, y_val=y_val)

Differences: weights are float32, and "sgd" and "adam" compute in float32; in Adam, ``epsilon`` is
added to the bias-corrected root (Kingma and Ba 2015, algorithm 1); training stops when the loss
is not finite.
"""

from ..system.extras import MissingExtraError, installation

try:
    import sklearn as _required  # noqa: F401
except ImportError as error:
    raise MissingExtraError(
        f"mnistcore.sklearn needs scikit-learn: {installation('sklearn')}"
    ) from error

from .classifier import MLPClassifier
from .curves import Epoch
from .regressor import MLPRegressor

__all__ = ["Epoch", "MLPClassifier", "MLPRegressor"]
