"""``MLPClassifier``: binary, multiclass and multilabel classification."""

from dataclasses import KW_ONLY, dataclass
from numbers import Real
from typing import Any, ClassVar

import numpy as np
from sklearn.base import ClassifierMixin, _fit_context
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import compute_class_weight, compute_sample_weight
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import _check_partial_fit_first_call, type_of_target, unique_labels
from sklearn.utils.validation import check_is_fitted, validate_data

from ..models.model import Model
from .estimator import BaseMLP
from .inputs import flat_column, float_type
from .links import LOGISTIC, SOFTMAX, Link
from .objectives import Samples
from .parameters import is_stochastic


@dataclass(eq=False, repr=False)
class MLPClassifier(ClassifierMixin, BaseMLP):
    """A multi-layer perceptron classifier, on the kernels of this package.

    Parameters have the names, meanings and defaults of scikit-learn's ``MLPClassifier``; a few are
    new. Supports binary, multiclass and multilabel targets, with labels of any type.

    Parameters
    ----------
    hidden_layer_sizes
        The units of each hidden layer, as a number or a sequence; empty for a linear model.
    activation
        Activation of the hidden layers: "relu", "tanh", "logistic" or "identity".
    solver
        "adam", "sgd", or "lbfgs", which is SciPy's and uses all samples at once, in float64 and
        with NumPy's matrix products regardless of the backend.
    alpha
        Strength of the L2 penalty ``alpha / 2 * ||w||^2``, divided by the number of samples in a
        batch (or the sum of their weights). Biases are not penalised.
    batch_size
        Samples in a mini-batch; "auto" is ``min(200, n_samples)``.
    learning_rate
        "constant"; for "sgd" also "invscaling" (``learning_rate_init / t**power_t``, where t counts
        the samples seen) and "adaptive" (divided by 5 whenever training would stop). For "sgd" and
        "adam" also "step", "cosine", "one-cycle" (see :mod:`mnistcore.training.schedules`), or a
        function that maps an array of progress in [0, 1] over ``max_iter`` epochs to factors of
        ``learning_rate_init``. With these, reaching ``max_iter`` gives no ConvergenceWarning.
    learning_rate_init
        The learning rate, or the largest rate of a schedule.
    power_t
        The exponent of "invscaling".
    max_iter
        The maximum number of epochs, or of iterations of "lbfgs".
    shuffle
        Whether to shuffle the samples in each epoch.
    random_state
        Seed or RandomState of the initial weights, the validation split, shuffling, dropout and
        augmentation.
    tol
        The least improvement of the loss (with early stopping, of the validation score) that
        counts; for "lbfgs", the largest gradient component at convergence.
    verbose
        Whether to print a line for each epoch.
    warm_start
        Whether ``fit`` continues from the weights of the last fit.
    momentum, nesterovs_momentum
        Momentum of "sgd", and whether it is Nesterov's.
    early_stopping
        Whether to stop when the score on a validation set no longer improves, and keep the best
        weights. The set is that given to ``fit``, or ``validation_fraction`` of the samples.
        Ignored by "lbfgs".
    validation_fraction
        The share of the samples held out for early stopping.
    beta_1, beta_2, epsilon
        Constants of "adam".
    n_iter_no_change
        Training stops after more than this number of epochs without improvement.
    max_fun
        The maximum number of loss evaluations of "lbfgs".
    class_weight
        The weight of each class in the loss: a dict, "balanced" (inversely proportional to its
        frequency), or None for weights of 1.
    dropout
        The dropout rate after the hidden layers: one for all, or one per layer.
    batch_norm
        Whether to normalise the hidden units over each mini-batch before their activation, for
        "sgd" and "adam" (Ioffe and Szegedy 2015). Predictions use running statistics, which are
        folded into ``coefs_`` and ``intercepts_`` after each epoch; the penalty is that of the
        weights before.
    label_smoothing
        The share of each target that is spread evenly over all classes, or with several labels per
        sample over yes and no.
    augment
        Whether to deform the training images anew in each epoch, for "sgd" and "adam". Rows of X
        are then square images, of uint8, or of floats in [0, 1], which are rounded to multiples of
        1/255. A dict sets strengths, as in
        :func:`mnistcore.training.augmentation.make_augmentation`: ``{"rotation": 5}``.
    backend
        "cython", "numba", "numpy", or "auto", the first of these that is available.
    n_threads
        The maximum number of threads; None uses all cores of the process, or the value of
        ``OMP_NUM_THREADS``, which joblib sets in its workers. With the backend "numpy", None is
        one thread of BLAS, and a limit holds for the whole process while the estimator computes.
    callbacks
        One or more functions, called with the estimator and an :class:`Epoch` after each epoch;
        training stops if one returns True.
    progress_bar
        Whether to show a progress bar.

    Attributes
    ----------
    classes_
        The labels, sorted.
    coefs_, intercepts_
        The weights (fan_in, fan_out) and biases (fan_out,) of each layer, float32.
    loss_, best_loss_
        The last and the lowest loss, including the penalty; ``best_loss_`` is None with early
        stopping.
    loss_curve_
        The training loss of each epoch.
    train_scores_
        The training accuracy of each epoch, measured during training; empty for "lbfgs".
    validation_scores_, validation_loss_curve_, best_validation_score_
        Accuracy and loss on the validation set after each epoch, and the best accuracy;
        None without a validation set.
    n_iter_, t_
        The number of epochs of the last fit, and of training samples seen.
    n_layers_, n_outputs_, out_activation_
        Number of layers, including input and output; number and activation of the outputs.
    n_features_in_, feature_names_in_
        Number of features of X, and their names if X has any.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from mnistcore import MLPClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> classifier = MLPClassifier((16,), solver="lbfgs", max_iter=1000, random_state=0).fit(X, y)
    >>> float(classifier.score(X, y)) > 0.95
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseMLP._parameter_constraints,
        "class_weight": [None, dict, list, StrOptions({"balanced"})],
        "label_smoothing": [Interval(Real, 0, 1, closed="left")],
        "augment": ["boolean", dict],
    }

    hidden_layer_sizes: Any = (100,)
    activation: str = "relu"
    _: KW_ONLY
    class_weight: Any = None
    label_smoothing: float = 0.0
    augment: Any = False

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, *, X_val: Any = None, y_val: Any = None
    ) -> "MLPClassifier":
        """Train the network.

        Parameters
        ----------
        X
            {array-like, sparse matrix} (n_samples, n_features). uint8 is used as it is; other
            dtypes are converted to float32 (float64 for "lbfgs"). A sparse matrix is processed as
            sparse unless more than a sixth of its values are stored.
        y
            (n_samples,) labels of any type, or (n_samples, n_labels) indicators 0 and 1.
        sample_weight
            (n_samples,) weights of the samples in the loss; None for 1.
        X_val, y_val
            A validation set for ``validation_scores_`` and ``validation_loss_curve_``. Early
            stopping uses it instead of a part of X.

        Returns
        -------
        MLPClassifier
            The estimator itself.

        Raises
        ------
        ValueError
            If an argument is not valid, and then the estimator is what it was before; or training
            diverges.

        Examples
        --------
        >>> import mnistcore
        >>> digits = mnistcore.load_data("synthetic")
        >>> X, y = digits.train_images[:5000].reshape(5000, -1), digits.train_labels[:5000]
        >>> classifier = mnistcore.MLPClassifier((64,), max_iter=20, random_state=0)
        >>> float(classifier.fit(X / 255, y).score(X / 255, y)) > 0.8
        True
        """
        self._fit(X, y, sample_weight, X_val=X_val, y_val=y_val)
        return self

    @available_if(is_stochastic)
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None
    ) -> "MLPClassifier":
        """Train for one epoch on the given samples.

        Parameters
        ----------
        X, y, sample_weight
            As in :meth:`fit`.
        classes
            All classes that may occur in any call; required in the first call.

        Raises
        ------
        ValueError
            As :meth:`fit`; also for ``class_weight="balanced"`` and for early stopping.
        """
        if self.class_weight == "balanced":
            raise ValueError(
                "class_weight='balanced' is not supported by partial_fit, which does not see all"
                " of y: give a dict, for instance from sklearn.utils.compute_class_weight"
            )
        with self._unchanged_if_refused():
            if _check_partial_fit_first_call(self, classes):
                multilabel = type_of_target(y).startswith("multilabel")
                self._label_binarizer = LabelBinarizer().fit(y if multilabel else classes)
            self._fit(X, y, sample_weight, incremental=True)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Predict the class of each sample of X.

        Returns
        -------
        ndarray, shape (n_samples,)
            Labels of the type given to :meth:`fit`; for a multilabel target, indicators 0 and 1 of
            shape (n_samples, n_labels).

        Raises
        ------
        ValueError
            If X is not valid, holds values beyond float32, or gives outputs that are not finite.
        """
        check_is_fitted(self)
        logits = self._logits(self._validate_x(X))
        if self._multilabel:
            return self._label_binarizer.inverse_transform(LOGISTIC.mean(logits))
        return self.classes_[np.minimum(logits.argmax(axis=1), len(self.classes_) - 1)]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict the probability of each class for each sample of X.

        Returns
        -------
        ndarray, shape (n_samples, n_classes)
            Columns in the order of ``classes_``; float32 for float32 X, and float64 otherwise.

        Raises
        ------
        ValueError
            If X is not valid, holds values beyond float32, or gives outputs that are not finite.
        """
        check_is_fitted(self)
        X = self._validate_x(X)
        return self._link.mean(self._logits(X)).astype(float_type(X), copy=False)

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Return the logarithm of :meth:`predict_proba`; -inf where that is 0."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def to_model(
        self,
        scale: float = 1.0,
        shift: float = 0.0,
        *,
        input_shape: tuple[int, ...] | None = None,
        pixel_max: float | None = None,
    ) -> Model:
        """Return a model of images, for ``export``, or to save for the other commands. ::

            model = classifier.to_model(1 / 255)  # fitted to pixels / 255
            mnistcore.models.checkpoint.save("digits.safetensors", model)

        Parameters
        ----------
        scale, shift
            The values that X had for a raw pixel: ``pixel * scale + shift``.
        input_shape
            Of an image; by default a square if the number of features allows it.
        pixel_max
            The raw pixel value of full ink; None if unknown, which counts as 255.

        Raises
        ------
        NotFittedError
            If the classifier is not fitted. A subclass of ValueError.
        ValueError
            If it is a multilabel classifier or was fitted to a single class, or if an argument is
            not valid.
        """
        return self.fitted_network().to_model(scale, shift, input_shape, pixel_max)

    # ---- hooks of BaseMLP -------------------------------------------------------------------

    def _validate_x(self, X: Any) -> Any:
        return validate_data(self, X, accept_sparse=["csr", "csc"], reset=False)

    def _validate_input(
        self, X: Any, y: Any, incremental: bool, reset: bool
    ) -> tuple[Any, np.ndarray, np.ndarray]:
        X, y = validate_data(
            self, X, y, accept_sparse=["csr", "csc"], multi_output=True, reset=reset
        )
        y = flat_column(y)
        if not hasattr(self, "classes_") or not (self.warm_start or incremental):
            self._label_binarizer = LabelBinarizer().fit(y)
            self.classes_ = self._label_binarizer.classes_
            return X, y, self._targets(y)
        classes = unique_labels(y)
        if self.warm_start and set(classes) != set(self.classes_):
            raise ValueError(
                "warm_start can only be used where `y` has the same classes as in the previous"
                f" call to fit. Previously got {self.classes_}, `y` has {classes}"
            )
        self._check_known(classes)
        return X, y, self._targets(y)

    def _validate_validation(self, X: Any, y: Any) -> tuple[Any, np.ndarray]:
        X, y = validate_data(
            self, X, y, accept_sparse=["csr", "csc"], multi_output=True, reset=False
        )
        y = flat_column(y)
        self._check_known(unique_labels(y))
        return X, self._targets(y)

    def _check_known(self, classes: np.ndarray) -> None:
        if len(np.setdiff1d(classes, self.classes_, assume_unique=True)):
            raise ValueError(
                f"`y` has classes not in `self.classes_`. `self.classes_` has {self.classes_}."
                f" 'y' has {classes}."
            )

    @property
    def _multilabel(self) -> bool:
        return str(self._label_binarizer.y_type_).startswith("multilabel")

    def _targets(self, y: np.ndarray) -> np.ndarray:
        if self._multilabel:
            if y.ndim != 2 or y.shape[1] != len(self.classes_):
                raise ValueError(
                    f"y has shape {y.shape}; it must be (n_samples, {len(self.classes_)}), an"
                    " indicator 0 or 1 for each label, as what the classifier was fitted to"
                )
            return self._label_binarizer.transform(y).astype(np.float64)
        if y.ndim > 1:
            raise ValueError("The object was not fitted with multilabel input.")
        return np.searchsorted(self.classes_, y).astype(np.int32)

    def _count_outputs(self, targets: np.ndarray) -> tuple[int, str]:
        if self._multilabel:
            return targets.shape[1], "logistic"
        if len(self.classes_) > 2:
            return len(self.classes_), "softmax"
        return 1, "logistic"

    @property
    def _n_logits(self) -> int:
        return 2 if self.n_outputs_ == 1 and not self._multilabel else int(self.n_outputs_)

    @property
    def _link(self) -> Link:
        return LOGISTIC if self._multilabel else SOFTMAX

    def _score_means(self, means: np.ndarray, samples: Samples) -> float:
        link = self._link
        assert link.hits is not None
        hits = link.hits(means, samples.targets)
        weights = samples.weights if samples.weights.size else None
        return float(np.average(hits, weights=weights))

    def _strata(self, targets: np.ndarray) -> np.ndarray | None:
        """Stratify for two classes only, as scikit-learn does."""
        return targets[:, None].astype(bool) if self.n_outputs_ == 1 else None

    def _class_weights(self, y: np.ndarray, targets: np.ndarray) -> np.ndarray | None:
        if self.class_weight is None:
            return None
        if self._multilabel:
            return compute_sample_weight(self.class_weight, y)
        return compute_class_weight(self.class_weight, classes=self.classes_, y=y)[targets]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
