"""The training step of a race in which every product goes through one function.

So products in pure Python and those of the ladder train the network that the backends train.
"""

from collections.abc import Callable

import numpy as np

from ..data.preprocess import scale_images
from ..kernels.backends import get_backend
from ..kernels.layout import HIT_SUM, LOSS_SUM, WEIGHT_SUM
from ..models.network import Network

Product = Callable[[np.ndarray, np.ndarray, np.ndarray], None]  # (a, b, out): out = a b


class ProductSteps:
    """What a :class:`.Trainer` needs of a backend, for plain gradient descent with ReLU.

    Parameters
    ----------
    network
        The network to train, without dropout or normalisation.
    product
        Multiplies matrices, float32 and C-contiguous.
    """

    def __init__(self, network: Network, product: Product) -> None:
        self._network, self._product = network, product
        self._reference = get_backend("numpy")

    def compile_programs(self, report: Callable[[str], None]) -> None:
        """Call the product, which may compile it."""
        self._times(np.ones((2, 2), np.float32), np.ones((2, 2), np.float32))

    def workspace_size(self, layers: np.ndarray, batch_size: int, slots: int) -> int:
        """Return 0: it allocates as it goes."""
        return 0

    def train_steps(
        self,
        x: np.ndarray,
        targets: np.ndarray,
        sample_weight: np.ndarray,
        order: np.ndarray,
        learning_rates: np.ndarray,
        layers: np.ndarray,
        options: np.ndarray,
        first_step: int,
        params: np.ndarray,
        state: np.ndarray,
        buffers: np.ndarray,
        workspace: np.ndarray,
        metrics: np.ndarray,
    ) -> int:
        """Do what a backend's ``train_steps`` does, with the options that a race has."""
        size, scale, shift = (options[name][0] for name in ("batch_size", "scale", "shift"))
        for step, rate in enumerate(learning_rates):
            samples = order[step * size :][:size]
            loss, hits = self._step(
                scale_images(x[samples], scale, shift), targets[samples], params, np.float32(rate)
            )
            metrics[[LOSS_SUM, HIT_SUM, WEIGHT_SUM]] += loss * len(samples), hits, len(samples)
        return len(learning_rates)

    def _step(
        self, a: np.ndarray, labels: np.ndarray, params: np.ndarray, rate: np.float32
    ) -> tuple[float, int]:
        layers = self._network.views(params)
        inputs = []
        for weights, bias in layers:
            inputs.append(a)
            z = self._times(a, weights) + bias
            a = np.maximum(z, 0)
        dz = np.empty_like(z)
        loss = self._reference.softmax_cross_entropy(z, labels, np.empty(0, z.dtype), dz)
        hits = int((z.argmax(axis=1) == labels).sum())
        for number, (weights, bias) in reversed(list(enumerate(layers))):
            a = inputs[number]
            dweights, dbias = self._times(a.T, dz), dz.sum(axis=0)
            if number:
                dz = self._times(dz, weights.T) * (a > 0)
            weights -= rate * dweights
            bias -= rate * dbias
        return float(loss), hits

    def _times(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        out = np.empty((len(a), b.shape[1]), np.float32)
        self._product(np.ascontiguousarray(a), np.ascontiguousarray(b), out)
        return out


def python_product(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """Multiply matrices on lists, row by row; zeros are left out, as in the kernels."""
    rows = b.tolist()
    for i, factors in enumerate(a.tolist()):
        total = [0.0] * len(rows[0])
        for factor, row in zip(factors, rows, strict=True):
            if factor:
                total = [t + factor * value for t, value in zip(total, row, strict=True)]
        out[i] = total
