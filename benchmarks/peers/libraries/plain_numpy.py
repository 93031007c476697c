"""A training loop in plain NumPy, as one would write it by hand: the baseline of all."""

import numpy as np

from . import Job, Peer, Weights

BETA1, BETA2, EPS = 0.9, 0.999, 1e-8


class PlainNumpy(Peer):
    """Float32 images in memory, in-place arithmetic where it is simple."""

    note = "float32 images in memory"

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self._x = self.scaled_images()
        self._params = [part.copy() for pair in job.weights for part in pair]
        self._m = [np.zeros_like(param) for param in self._params]
        self._v = [np.zeros_like(param) for param in self._params]
        self._step = 0

    def train(self, order: np.ndarray) -> None:
        update = self._adam if self.job.case.optimizer == "adam" else self._sgd
        for batch in self.batches(order):
            gradients = self._gradients(self._x[batch], self.job.labels[batch])
            self._step += 1
            for index, gradient in enumerate(gradients):
                update(index, gradient)

    def _forward(self, x: np.ndarray) -> list[np.ndarray]:
        """The input and the output of every layer; the last are logits."""
        outputs = [x]
        for layer in range(0, len(self._params), 2):
            z = outputs[-1] @ self._params[layer]
            z += self._params[layer + 1]
            if layer + 2 < len(self._params):
                tanh = self.job.case.activation == "tanh"
                z = np.tanh(z, out=z) if tanh else np.maximum(z, 0, out=z)
            outputs.append(z)
        return outputs

    def _gradients(self, x: np.ndarray, labels: np.ndarray) -> list[np.ndarray]:
        """Of the mean cross-entropy, by each of the parameters."""
        outputs = self._forward(x)
        dz = outputs.pop()
        dz -= dz.max(axis=1, keepdims=True)
        np.exp(dz, out=dz)
        dz /= dz.sum(axis=1, keepdims=True)
        dz[np.arange(len(labels)), labels] -= 1
        dz /= len(labels)
        gradients = []
        while outputs:
            a = outputs.pop()
            gradients += [dz.sum(axis=0), a.T @ dz]
            if outputs:
                dz = dz @ self._params[2 * len(outputs)].T
                dz *= 1 - a * a if self.job.case.activation == "tanh" else a > 0
        return gradients[::-1]

    def _sgd(self, index: int, gradient: np.ndarray) -> None:
        gradient *= self.job.case.learning_rate
        self._params[index] -= gradient

    def _adam(self, index: int, gradient: np.ndarray) -> None:
        m, v = self._m[index], self._v[index]
        m *= BETA1
        m += (1 - BETA1) * gradient
        v *= BETA2
        v += (1 - BETA2) * gradient * gradient
        rate = self.job.case.learning_rate / (1 - BETA1**self._step)
        self._params[index] -= rate * m / (np.sqrt(v / (1 - BETA2**self._step)) + EPS)

    def predict(self, images: np.ndarray) -> np.ndarray:
        x = np.multiply(images, np.float32(1 / 255), dtype=np.float32)
        return self._forward(x)[-1].argmax(axis=1)

    def weights(self) -> Weights:
        return list(zip(self._params[::2], self._params[1::2], strict=True))
