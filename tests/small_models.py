"""Networks of every activation and several shapes, with random weights."""

import numpy as np

from mnistcore.models.model import Model
from mnistcore.models.network import Network


def make_model(
    sizes, activation="relu", shape=None, scale=1 / 255, shift=0.0, gain=1.0, seed=0, pixel_max=None
):
    network = Network(sizes, activation)
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, 0.1, network.n_params)
    params = (gain * (network.init(rng) + noise)).astype(np.float32)
    names = tuple(map(str, range(sizes[-1])))
    return Model(
        network, params, shape or (sizes[0],), scale, shift, names, {"seed": seed}, pixel_max
    )


MODELS = {
    "relu": make_model((784, 16, 8, 10), "relu", (28, 28)),
    "tanh": make_model((36, 7, 4), "tanh", (6, 6), scale=0.0127, shift=-0.42),
    "logistic": make_model((12, 9, 11, 5, 3), "logistic", (3, 4)),
    "identity": make_model((8, 5, 6, 3), "identity", shift=0.5),
    "wide": make_model((100, 70, 64, 10), "identity", (10, 10)),
    "no-hidden": make_model((30, 26), shape=(5, 6), scale=1.0, shift=-100.0, gain=0.01),
    "sixteen": make_model((64, 9, 10), "relu", (8, 8), scale=1 / 16, pixel_max=16.0),
    "one-unit": make_model((1, 1, 2), "relu"),
    "one-class": make_model((9, 3, 1), "tanh", (3, 3)),
}
