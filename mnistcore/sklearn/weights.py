"""The weights of a network in training, with the running statistics of batch normalisation."""

import copy
from dataclasses import dataclass

import numpy as np

from ..models.network import Network


@dataclass(eq=False)
class Weights:
    """What training changes and predictions need; it is pickled with its estimator.

    Attributes
    ----------
    network
        The network that is trained.
    params
        (P,) its parameters.
    buffers
        (2 S,) the running statistics of its normalised layers, or length 0 without any.
    """

    network: Network
    params: np.ndarray
    buffers: np.ndarray

    @classmethod
    def of_plain(cls, network: Network, params: np.ndarray) -> "Weights":
        """Return weights that start from parameters of ``network.plain``, with gains of 1."""
        if not network.batch_norm:
            return cls(network, params, params[:0])
        weights = cls(network, np.ones(network.n_params, params.dtype), network.init_buffers())
        pairs = zip(network.views(weights.params), network.plain.views(params), strict=True)
        for (w, bias), (plain_w, plain_bias) in pairs:
            w[...], bias[...] = plain_w, plain_bias
        return weights

    def plain(self) -> tuple[Network, np.ndarray]:
        """Return the network that predicts, without batch normalisation, and its parameters.

        They are ``params`` itself if no layer is normalised.
        """
        return self.network.plain, self.network.folded(self.params, self.buffers)

    def copy(self) -> "Weights":
        """Return a copy that training does not change."""
        return copy.deepcopy(self)

    def restore(self, earlier: "Weights") -> None:
        """Take over the values of an earlier copy, in place."""
        self.params[:], self.buffers[:] = earlier.params, earlier.buffers
