"""scikit-learn: ``MLPClassifier.partial_fit``, one epoch a call."""

import numpy as np
from sklearn.neural_network import MLPClassifier

from . import Job, Peer, Weights


class ScikitLearn(Peer):
    """Float32 images in memory; it shuffles by itself, and puts epsilon elsewhere in Adam."""

    note = "MLPClassifier.partial_fit, float32 images in memory"
    follows_order = False

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        case = job.case
        self._x = self.scaled_images()
        self._classifier = MLPClassifier(
            hidden_layer_sizes=case.layer_sizes[1:-1],
            activation=case.activation,
            solver=case.optimizer,
            alpha=0.0,
            batch_size=case.batch_size,
            learning_rate_init=case.learning_rate,
            momentum=0.0,
            nesterovs_momentum=False,
            random_state=0,
        )
        self._begun = False

    def train(self, order: np.ndarray) -> None:
        everything = len(order) == len(self._x)
        x = self._x if everything else self._x[order]
        labels = self.job.labels if everything else self.job.labels[order]
        if not self._begun:
            self._begin()
        self._classifier.partial_fit(x, labels)

    def _begin(self) -> None:
        """Make the network, on one sample, and give it the weights that all begin with."""
        self._begun = True
        self._classifier.set_params(batch_size=1)
        self._classifier.partial_fit(self._x[:1], self.job.labels[:1], classes=np.arange(10))
        self._classifier.set_params(batch_size=self.job.case.batch_size)
        for layer, (weights, bias) in enumerate(self.job.weights):
            self._classifier.coefs_[layer][...] = weights
            self._classifier.intercepts_[layer][...] = bias
        del self._classifier._optimizer  # which has seen that sample; the next call makes another

    def predict(self, images: np.ndarray) -> np.ndarray:
        if not self._begun:
            self._begin()
        x = np.multiply(images, np.float32(1 / 255), dtype=np.float32)
        return self._classifier.predict(x)

    def weights(self) -> Weights:
        return list(zip(self._classifier.coefs_, self._classifier.intercepts_, strict=True))
