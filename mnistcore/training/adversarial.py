"""Virtual adversarial training: also on inputs moved to where the outputs change the most.

Source: Miyato, Maeda, Koyama and Ishii 2018, "Virtual adversarial training: a regularization method
for supervised and semi-supervised learning", section 3 and algorithm 1.
"""

from types import ModuleType

import numpy as np

from ..data.preprocess import scale_images
from ..models.forward_pass import ForwardPass
from ..models.network import Network

PROBE = 0.5  # norm of the random movement from which the direction is found


class VirtualAdversary:
    """Trains on batches of samples and of their adversarial versions.

    A sample is moved by a vector of a given norm, in the direction in which the network's
    probabilities change the most, found by one step of power iteration. The probabilities where
    it was are the target of the moved sample.

    Parameters
    ----------
    kernels
        The module of a backend.
    radius
        The norm, in units of the scaled inputs.
    network
        The network, with or without batch normalisation.
    batch_size
        The most samples of a batch, their adversarial versions not counted.
    slots
        The rows of the optimizer's state.
    """

    def __init__(
        self, kernels: ModuleType, radius: float, network: Network, batch_size: int, slots: int
    ) -> None:
        self._kernels, self._network, self._radius = kernels, network, np.float32(radius)
        n_inputs, *_, n_classes = network.layer_sizes
        self._x = np.empty((2 * batch_size, n_inputs), np.float32)
        self._targets = np.empty((2 * batch_size, n_classes), np.float32)
        size = kernels.workspace_size(network.layers(), 2 * batch_size, slots)
        self._workspace = np.empty(size, np.float32)

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
        """Do what a backend's ``train_steps`` does, without sample weights.

        The ``metrics`` count samples and their adversarial versions alike.
        """
        batch_size = int(options["batch_size"][0])
        for step, rate in enumerate(learning_rates):
            samples = order[step * batch_size :][:batch_size]
            if not self._fill(x, targets, samples, options, first_step + step, params, buffers):
                return step
            rows, own = 2 * len(samples), options.copy()
            own["batch_size"], own["scale"], own["shift"] = rows, 1.0, 0.0
            own["label_smoothing"] = 0.0
            # Dropout is drawn by row and epoch here, where each step has the same rows.
            own["epoch"] = first_step + step
            done = self._kernels.train_steps(
                self._x[:rows], self._targets[:rows], sample_weight, np.arange(rows),
                np.array([rate]), layers, own, first_step + step, params, state, buffers,
                self._workspace, metrics,
            )  # fmt: skip
            if not done:
                return step
        return len(learning_rates)

    @np.errstate(over="ignore", invalid="ignore")  # the outputs will show it
    def _fill(
        self,
        x: np.ndarray,
        targets: np.ndarray,
        samples: np.ndarray,
        options: np.ndarray,
        step: int,
        params: np.ndarray,
        buffers: np.ndarray,
    ) -> bool:
        """Write the samples, their adversarial versions, and the targets of both.

        Return False if the network's outputs are not finite.
        """
        n, smoothing = len(samples), np.float32(options["label_smoothing"][0])
        inputs, classes = self._x[:n], self._targets.shape[1]
        inputs[...] = scale_images(x[samples], options["scale"][0], options["shift"][0])
        chosen = targets[samples]
        if chosen.ndim == 1:
            chosen = np.eye(classes, dtype=np.float32)[chosen]
        self._targets[:n] = (1 - smoothing) * chosen + smoothing / classes
        params = self._network.folded(params, buffers, options["norm_eps"][0])
        rng = np.random.default_rng([int(options["seed"][0]), step])
        movement, probs = self._movement(params, inputs, rng)
        np.add(inputs, movement, out=self._x[n : 2 * n])
        self._targets[n : 2 * n] = probs
        return bool(np.isfinite(probs).all() and np.isfinite(movement).all())

    def _movement(
        self, params: np.ndarray, inputs: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the adversarial movements (n, I) of inputs, and the probabilities (n, C) there.

        The gradient of the divergence is zero where the sample is, so it is taken at a random
        place nearby. Where it is zero there as well, that place's direction is as good as any.
        """
        network = self._network.plain
        probs = ForwardPass(self._kernels, network, params, inputs).probabilities()
        probe = rng.standard_normal(inputs.shape, np.float32)
        probe *= PROBE / _norms(probe)
        nearby = ForwardPass(self._kernels, network, params, inputs + probe)
        gradient = nearby.input_gradient(nearby.probabilities() - probs)
        norms = _norms(gradient)
        flat = norms[:, 0] < 1e-30
        gradient[flat], norms[flat] = probe[flat], PROBE
        gradient *= self._radius / norms
        return gradient, probs


def _norms(rows: np.ndarray) -> np.ndarray:
    # In float64: the gradient of a confident network is so small that its squares leave float32.
    return np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))[:, None]
