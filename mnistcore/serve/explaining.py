"""What a network makes of one image: activations, connections, and the say of each pixel."""

from types import ModuleType
from typing import Any

import numpy as np

from ..models.model import Model

MOST_CONNECTIONS = 60  # of each layer, the strongest


def explain(model: Model, kernels: ModuleType, image: np.ndarray) -> dict[str, Any]:
    """Explain how a network reads an image.

    Parameters
    ----------
    model
        The network.
    kernels
        The module of a backend.
    image
        (28, 28) or (784,), pixels from 0, paper, to 255, ink.

    Returns
    -------
    dict
        ``image``; ``layers``, the activations of each hidden layer and the probabilities;
        ``connections``, those that contribute most to the units of each layer; ``saliency``, the
        gradient of the likeliest class's logit times the input.
    """
    model = model.taking_pictures()
    image = np.ascontiguousarray(image, np.float32).reshape(1, *model.input_shape)
    forward = model.forward_pass(kernels, image)
    x = image.reshape(1, -1) * np.float32(model.scale) + np.float32(model.shift)
    probabilities = forward.probabilities()
    dlogits = np.zeros_like(forward.logits)
    dlogits[0, forward.logits.argmax()] = 1
    saliency = forward.input_gradient(dlogits) * x
    side = image.shape[1:]
    return {
        "image": image[0].round().astype(int).tolist(),
        "layers": [_layer(a[0]) for a in (*forward.hidden, probabilities)],
        "connections": _connections(model, [x, *forward.hidden]),
        "saliency": _rounded(saliency.reshape(side)),
    }


def _layer(activations: np.ndarray) -> dict[str, Any]:
    return {"size": len(activations), "activations": _rounded(activations)}


def _connections(model: Model, inputs: list[np.ndarray]) -> list[dict[str, Any]]:
    """Return the strongest connections of each layer, given the inputs (1, I) of each."""
    found = []
    layers = zip(inputs, model.network.views(model.params), strict=True)
    for number, (a, (weights, _)) in enumerate(layers):
        contributions = a[0][:, None] * weights
        most = min(MOST_CONNECTIONS, contributions.size)
        flat = np.abs(contributions).ravel()
        strongest = np.argpartition(flat, flat.size - most)[-most:]
        strongest = strongest[np.argsort(-flat[strongest], kind="stable")]
        for source, target in zip(*np.unravel_index(strongest, contributions.shape), strict=True):
            contribution = float(contributions[source, target])
            if contribution:
                found.append(
                    {
                        "layer": number,
                        "from": int(source),
                        "to": int(target),
                        "contribution": round(contribution, 5),
                    }
                )
    return found


def _rounded(values: np.ndarray) -> Any:
    return values.astype(np.float64).round(5).tolist()
