"""A forward pass that is remembered: what hidden units put out, and gradients by the inputs."""

from types import ModuleType

import numpy as np

from .network import Network, activate, differentiate


class ForwardPass:
    """The outputs of every layer for a batch, from which gradients by its inputs follow.

    The programs of a backend keep to themselves what they compute on the way, so this calls one
    kernel after another. There is no dropout, and batch normalisation is folded into the weights
    beforehand.

    Parameters
    ----------
    kernels
        The module of a backend.
    network
        A network without batch normalisation.
    params
        (P,) its parameters, which must not change as long as gradients are asked for.
    x
        (B, I) inputs as they enter the network, scaled; C-contiguous, dtype as ``params``.

    Attributes
    ----------
    hidden
        The outputs (B, units) of each hidden layer, from first to last.
    logits
        (B, C).

    Raises
    ------
    ValueError
        If the network has batch normalisation, or x or ``params`` the wrong shape.

    Examples
    --------
    >>> import numpy as np
    >>> from mnistcore.kernels import numpy_kernels
    >>> network = Network((2, 1))
    >>> forward = ForwardPass(numpy_kernels, network, np.array([3.0, -2.0, 1.0]), np.ones((1, 2)))
    >>> forward.logits.tolist(), forward.input_gradient(np.ones((1, 1))).tolist()
    ([[2.0]], [[3.0, -2.0]])
    """

    def __init__(
        self, kernels: ModuleType, network: Network, params: np.ndarray, x: np.ndarray
    ) -> None:
        if network.batch_norm:
            raise ValueError("batch normalisation must be folded into the weights first")
        self._kernels, self._activation = kernels, network.activation
        layers = network.views(params)
        self._weights = [weights for weights, _ in layers]
        self.hidden: list[np.ndarray] = []
        a = x
        for weights, bias in layers:
            z = np.empty((len(x), len(bias)), params.dtype)
            kernels.matmul(a, weights, z)
            kernels.add_bias(z, bias, z)
            if len(self.hidden) < len(layers) - 1:
                activate(kernels, network.activation, z)
            self.hidden.append(z)
            a = z
        self.logits = self.hidden.pop()

    def probabilities(self) -> np.ndarray:
        """Return the softmax (B, C) of the logits."""
        probs = np.empty_like(self.logits)
        self._kernels.softmax(self.logits, probs)
        return probs

    def input_gradient(self, dlogits: np.ndarray) -> np.ndarray:
        """Return the gradient (B, I) by the inputs, given that by the logits (B, C)."""
        dz = dlogits
        for weights, a in zip(self._weights[:0:-1], self.hidden[::-1], strict=True):
            dz = self._times_transposed(dz, weights)
            differentiate(self._kernels, self._activation, dz, a)
        return self._times_transposed(dz, self._weights[0])

    def _times_transposed(self, dz: np.ndarray, weights: np.ndarray) -> np.ndarray:
        da = np.empty((len(dz), len(weights)), weights.dtype)
        self._kernels.matmul_nt(dz, weights, da)
        return da
