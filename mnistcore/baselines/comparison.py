"""Compare other classifiers on the same digits.

Every classifier is trained on the same images and evaluated on the same test set, with settings
fixed beforehand, so that none is chosen by its test result. Softmax regression and the perceptron
run on the kernels of this package, the others are scikit-learn's.
"""

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..data import Dataset
from ..data.preprocess import flatten, train_validation_split
from ..kernels.threads import default_threads
from ..system.errors import did_you_mean
from ..system.extras import require

# The warning of a perceptron whose training was ended by Ctrl-C.
INTERRUPTION = "Training interrupted by user"


@dataclass(frozen=True)
class Baseline:
    """A classifier with its settings.

    Attributes
    ----------
    about
        A description in a few words.
    make
        Takes (seed, threads); returns an estimator with scikit-learn's interface.
    ours
        Whether it runs on the kernels of this package.
    """

    about: str
    make: Callable[[int, int], Any]
    ours: bool = False


@dataclass(frozen=True)
class Score:
    """The result of a baseline.

    Attributes
    ----------
    name, about, ours
        Of the baseline.
    test_accuracy
        The share of correct answers on the test set, in [0, 1].
    train_seconds, predict_seconds
        For all training images, and for the whole test set.
    """

    name: str
    about: str
    ours: bool
    test_accuracy: float
    train_seconds: float
    predict_seconds: float


def _most_frequent(seed: int, threads: int) -> Any:
    from sklearn.dummy import DummyClassifier

    return DummyClassifier(strategy="most_frequent")


def _nearest_centroid(seed: int, threads: int) -> Any:
    from sklearn.neighbors import NearestCentroid

    return NearestCentroid()


def _logistic_regression(seed: int, threads: int) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=100)


def _nearest_neighbours(seed: int, threads: int) -> Any:
    from sklearn.neighbors import KNeighborsClassifier

    return KNeighborsClassifier(3, algorithm="brute", n_jobs=threads)


def _linear_svm(seed: int, threads: int) -> Any:
    from sklearn.linear_model import SGDClassifier

    return SGDClassifier(
        loss="hinge", average=True, max_iter=10, tol=None, n_jobs=threads, random_state=seed
    )


def _random_forest(seed: int, threads: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(100, n_jobs=threads, random_state=seed)


def _gradient_boosting(seed: int, threads: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(learning_rate=0.2, max_iter=50, random_state=seed)


def _softmax_regression(seed: int, threads: int) -> Any:
    return _perceptron(seed, threads, ())


def _perceptron(seed: int, threads: int, hidden: tuple[int, ...] = (128,)) -> Any:
    from ..sklearn import MLPClassifier

    return MLPClassifier(
        hidden,
        batch_size=128,
        learning_rate="one-cycle",
        learning_rate_init=0.005,
        max_iter=10,
        random_state=seed,
        n_threads=threads,
    )


BASELINES: Mapping[str, Baseline] = {
    "most frequent": Baseline("always the commonest class", _most_frequent),
    "nearest centroid": Baseline("the class with the nearest mean image", _nearest_centroid),
    "linear SVM": Baseline("hinge loss, averaged SGD, 10 epochs", _linear_svm),
    "logistic regression": Baseline("L-BFGS, at most 100 iterations", _logistic_regression),
    "softmax regression": Baseline("no hidden layer, Adam, 10 epochs", _softmax_regression, True),
    "k-NN": Baseline("3 neighbours, Euclidean distance", _nearest_neighbours),
    "random forest": Baseline("100 trees", _random_forest),
    "gradient boosting": Baseline("50 rounds of histogram trees", _gradient_boosting),
    "MLP": Baseline("128 hidden units, Adam, 10 epochs", _perceptron, True),
}


def run(
    dataset: Dataset,
    names: Sequence[str] | None = None,
    *,
    train_images: int | None = None,
    threads: int | None = None,
    seed: int = 0,
    on_score: Callable[[Score], None] = lambda score: None,
) -> list[Score]:
    """Train and test each baseline.

    Parameters
    ----------
    dataset
        Images and labels; pixels become float32, divided by the range of the training images.
    names
        Keys of :data:`BASELINES`; None for all.
    train_images
        The number of images to train on, a stratified random sample; None for all.
    threads
        The maximum number of threads of each; None for ``OMP_NUM_THREADS`` or one per core.
    seed
        Seed of every random draw.
    on_score
        Called with the score of each baseline as soon as it is done.

    Returns
    -------
    list of Score
        One for each baseline, in order.

    Raises
    ------
    ValueError
        If a name is unknown or a number is out of range.
    MissingExtraError
        If scikit-learn is not installed.

    Examples
    --------
    >>> import mnistcore
    >>> digits = mnistcore.load_data("synthetic")
    >>> (score,) = mnistcore.baselines(digits, ["nearest centroid"], train_images=1000)
    >>> 0.5 < score.test_accuracy < 1
    True
    """
    for name in names or ():
        if name not in BASELINES:
            hint = did_you_mean(name, BASELINES, "baselines")
            raise ValueError(f"unknown baseline {name!r}; {hint}")
    threads = default_threads() if threads is None else threads
    if threads < 1:
        raise ValueError(f"threads must be at least 1, got {threads}")
    if seed < 0:
        raise ValueError(f"seed must not be negative, got {seed}")
    rows = _training_rows(dataset.train_labels, train_images, seed)
    require("sklearn", "sklearn")
    from threadpoolctl import threadpool_limits  # a dependency of scikit-learn

    train = _pixels(dataset.train_images[rows], dataset.pixel_max), dataset.train_labels[rows]
    test = _pixels(dataset.test_images, dataset.pixel_max), dataset.test_labels
    scores = []
    with warnings.catch_warnings(), threadpool_limits(threads):
        # The number of iterations is fixed on purpose, and few images make batches smaller.
        warnings.simplefilter("ignore", UserWarning)
        warnings.filterwarnings("error", INTERRUPTION)
        for name in names or BASELINES:
            scores.append(_score(name, BASELINES[name].make(seed, threads), train, test))
            on_score(scores[-1])
    return scores


def _training_rows(labels: np.ndarray, wanted: int | None, seed: int) -> np.ndarray:
    if wanted is None or wanted == len(labels):
        return np.arange(len(labels))
    if not 1 <= wanted < len(labels):
        raise ValueError(f"train_images must be from 1 to {len(labels)}, got {wanted}")
    return train_validation_split(labels, wanted / len(labels), seed)[1]


def _pixels(images: np.ndarray, pixel_max: float) -> np.ndarray:
    return flatten(images).astype(np.float32) / np.float32(pixel_max)


def _score(
    name: str,
    model: Any,
    train: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
) -> Score:
    began = time.perf_counter()
    try:
        model.fit(*train)
    except UserWarning as warning:
        raise KeyboardInterrupt from warning
    fitted = time.perf_counter()
    accuracy = float(np.mean(model.predict(test[0]) == test[1]))
    predicted = time.perf_counter()
    baseline = BASELINES[name]
    return Score(name, baseline.about, baseline.ours, accuracy, fitted - began, predicted - fitted)
