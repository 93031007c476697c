"""scikit-learn's ``MLPClassifier`` and ``MLPRegressor`` on the kernels of this package.

The names, the meaning and the defaults of the parameters are scikit-learn's, so are the draws of
the random numbers: changing the import is enough. ::

    from mnistcore.sklearn import MLPClassifier  # was: from sklearn.neural_network import ...

    classifier = MLPClassifier((128,), learning_rate="one-cycle", dropout=0.2, max_iter=20)
    classifier.fit(X, y, X_val=X_val, y_val=y_val)

What differs: parameters are float32, and so is what "sgd" and "adam" compute; in Adam, ``epsilon``
is added to the bias-corrected root (Kingma and Ba 2015, algorithm 1); training ends at a loss
that is not finite.
"""

try:
    import sklearn as _required  # noqa: F401
except ImportError as error:
    raise ImportError(
        'mnistcore.sklearn needs scikit-learn: pip install "mnistcore[sklearn]"'
    ) from error

from .classifier import MLPClassifier
from .curves import Epoch
from .regressor import MLPRegressor

__all__ = ["Epoch", "MLPClassifier", "MLPRegressor"]
