"""The uses of ``MLPClassifier`` in scikit-learn's documentation, as functions of the class.

A use trains one or more classifiers and records the accuracy of each. The settings and the sizes
of the data are those of scikit-learn's user guide and gallery.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.datasets import (
    load_digits,
    load_iris,
    make_circles,
    make_classification,
    make_moons,
)
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from mnistcore.data import load_data

Problem = tuple[np.ndarray, np.ndarray]


@dataclass
class Outcome:
    """The accuracies of a use by name, and the seconds of all its fits."""

    accuracies: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0

    def fit(self, name: str, model: Any, train: Problem, test: Problem) -> None:
        """Fit a model, and record the time and its accuracy on ``test``."""
        began = time.perf_counter()
        model.fit(*train)
        self.seconds += time.perf_counter() - began
        self.accuracies[name] = float(model.score(*test))


def _toys(n_samples: int = 100) -> Iterator[tuple[str, Problem]]:
    """Two moons, two circles, and two clusters that a line almost separates."""
    yield "moons", make_moons(n_samples, noise=0.3, random_state=0)
    yield "circles", make_circles(n_samples, noise=0.2, factor=0.5, random_state=1)
    X, y = make_classification(
        n_samples,
        n_features=2,
        n_redundant=0,
        n_informative=2,
        random_state=0,
        n_clusters_per_class=1,
    )
    yield "separable", (X + 2 * np.random.RandomState(2).uniform(size=X.shape), y)


def _split(problem: Problem, test_size: float) -> tuple[Problem, Problem]:
    X, X_test, y, y_test = train_test_split(*problem, test_size=test_size, random_state=42)
    return (X, y), (X_test, y_test)


def comparison(classifier: type) -> Outcome:
    """Gallery, "Classifier comparison": a strong penalty on scaled toy problems."""
    outcome = Outcome()
    for name, problem in _toys():
        model = make_pipeline(StandardScaler(), classifier(alpha=1, max_iter=1000, random_state=42))
        outcome.fit(name, model, *_split(problem, 0.4))
    return outcome


def regularisation(classifier: type) -> Outcome:
    """Gallery, "Varying regularization in Multi-layer Perceptron": L-BFGS, five penalties."""
    outcome = Outcome()
    for name, problem in _toys():
        train, test = _split(problem, 0.4)
        for alpha in np.logspace(-1, 1, 5):
            network = classifier(
                solver="lbfgs",
                alpha=alpha,
                random_state=1,
                max_iter=2000,
                early_stopping=True,
                hidden_layer_sizes=(10, 10),
            )
            outcome.fit(
                f"{name} {alpha:.2g}", make_pipeline(StandardScaler(), network), train, test
            )
    return outcome


STRATEGIES = {
    "constant": {"learning_rate": "constant", "momentum": 0},
    "momentum": {"learning_rate": "constant", "momentum": 0.9, "nesterovs_momentum": False},
    "nesterov": {"learning_rate": "constant", "momentum": 0.9, "nesterovs_momentum": True},
    "invscaling": {"learning_rate": "invscaling", "momentum": 0},
    "invscaling momentum": {
        "learning_rate": "invscaling",
        "momentum": 0.9,
        "nesterovs_momentum": False,
    },
    "invscaling nesterov": {
        "learning_rate": "invscaling",
        "momentum": 0.9,
        "nesterovs_momentum": True,
    },
    "adam": {"solver": "adam", "learning_rate_init": 0.01},
}


def strategies(classifier: type) -> Outcome:
    """Gallery, "Compare Stochastic learning strategies": seven of them on four problems."""
    outcome = Outcome()
    problems = {
        "iris": load_iris(return_X_y=True),
        "digits": load_digits(return_X_y=True),
        "circles": make_circles(noise=0.2, factor=0.5, random_state=1),
        "moons": make_moons(noise=0.3, random_state=0),
    }
    for name, (X, y) in problems.items():
        train = MinMaxScaler().fit_transform(X), y
        for strategy, settings in STRATEGIES.items():
            defaults = {"solver": "sgd", "learning_rate_init": 0.2}
            max_iter = 15 if name == "digits" else 400
            model = classifier(random_state=0, max_iter=max_iter, **{**defaults, **settings})
            outcome.fit(f"{name} {strategy}", model, train, train)
    return outcome


def mnist_weights(classifier: type) -> Outcome:
    """Gallery, "Visualization of MLP weights on MNIST": 40 units, eight epochs of SGD."""
    outcome, data = Outcome(), load_data("mnist")
    train, test = (
        (images.reshape(len(images), -1) / 255.0, labels)
        for images, labels in (
            (data.train_images, data.train_labels),
            (data.test_images, data.test_labels),
        )
    )
    model = classifier(
        hidden_layer_sizes=(40,),
        max_iter=8,
        alpha=1e-4,
        solver="sgd",
        random_state=1,
        learning_rate_init=0.2,
    )
    outcome.fit("MNIST", model, train, test)
    return outcome


def out_of_core(classifier: type) -> Outcome:
    """User guide, "Strategies to scale computationally": ``partial_fit`` on parts of a stream."""
    (X, y), test = _split(load_digits(return_X_y=True), 0.3)
    model, outcome = classifier(random_state=1), Outcome()
    began = time.perf_counter()
    for _ in range(10):
        for first in range(0, len(X), 100):
            part = slice(first, first + 100)
            model.partial_fit(X[part] / 16, y[part], classes=np.arange(10))
    outcome.seconds = time.perf_counter() - began
    outcome.accuracies["digits"] = float(model.score(test[0] / 16, test[1]))
    return outcome


def pipeline(classifier: type) -> Outcome:
    """User guide, "Tips on Practical Use": features scaled in a pipeline."""
    outcome = Outcome()
    for name, load in (("iris", load_iris), ("digits", load_digits)):
        model = make_pipeline(StandardScaler(), classifier(random_state=1, max_iter=500))
        outcome.fit(name, model, *_split(load(return_X_y=True), 0.5))
    return outcome


USES: dict[str, Callable[[type], Outcome]] = {
    "classifier comparison": comparison,
    "varying regularisation": regularisation,
    "stochastic strategies": strategies,
    "weights on MNIST": mnist_weights,
    "partial_fit": out_of_core,
    "scaled pipeline": pipeline,
}
