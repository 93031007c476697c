"""JAX: a whole epoch in one compiled ``lax.scan``, data on the device, buffers donated."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from . import Job, Peer, Weights

BETA1, BETA2, EPS = 0.9, 0.999, 1e-8


class JaxScan(Peer):
    """Pure functions over lists of (weights, bias); Adam written out."""

    note = "one lax.scan an epoch, uint8 images on the device, scaled in each step; donated buffers"

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self._x = jnp.asarray(job.images)  # gathering bytes is faster than gathering floats
        self._labels = jnp.asarray(job.labels)
        params = [(jnp.array(weights), jnp.array(bias)) for weights, bias in job.weights]
        zeros = partial(jax.tree.map, jnp.zeros_like)
        self._carry: Any = (params, zeros(params), zeros(params), jnp.float32(0))
        self._epoch = jax.jit(partial(_epoch, job), donate_argnums=0)
        self._classes = jax.jit(partial(_classes, job.case.activation))

    def train(self, order: np.ndarray) -> None:
        size = self.job.case.batch_size
        whole = len(order) - len(order) % size
        for part in (order[:whole].reshape(-1, size), order[whole:].reshape(1, -1)):
            if part.size:
                self._carry = self._epoch(self._carry, self._x, self._labels, jnp.asarray(part))
        jax.block_until_ready(self._carry)

    def predict(self, images: np.ndarray) -> np.ndarray:
        return np.asarray(self._classes(self._carry[0], images))

    def weights(self) -> Weights:
        return [(np.array(weights), np.array(bias)) for weights, bias in self._carry[0]]


def _logits(activation: str, params: Any, images: jax.Array) -> jax.Array:
    x = images.astype(jnp.float32) * (1 / 255)
    activate = jax.nn.relu if activation == "relu" else jnp.tanh
    for weights, bias in params[:-1]:
        x = activate(x @ weights + bias)
    return x @ params[-1][0] + params[-1][1]


def _classes(activation: str, params: Any, images: jax.Array) -> jax.Array:
    return _logits(activation, params, images).argmax(axis=1)


def _epoch(job: Job, carry: Any, images: jax.Array, labels: jax.Array, batches: jax.Array) -> Any:
    """All the steps of (steps, batch_size) sample ids."""
    case = job.case

    def loss(params: Any, batch: jax.Array) -> jax.Array:
        log_probs = jax.nn.log_softmax(_logits(case.activation, params, images[batch]))
        return -jnp.take_along_axis(log_probs, labels[batch][:, None], axis=1).mean()

    def step(carry: Any, batch: jax.Array) -> tuple[Any, None]:
        params, m, v, count = carry
        gradients = jax.grad(loss)(params, batch)
        if case.optimizer == "sgd":
            params = jax.tree.map(lambda p, g: p - case.learning_rate * g, params, gradients)
            return (params, m, v, count), None
        count += 1
        m = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * g, m, gradients)
        v = jax.tree.map(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, v, gradients)
        rate, root = case.learning_rate / (1 - BETA1**count), 1 / (1 - BETA2**count)
        params = jax.tree.map(
            lambda p, m, v: p - rate * m / (jnp.sqrt(v * root) + EPS), params, m, v
        )
        return (params, m, v, count), None

    return jax.lax.scan(step, carry, batches)[0]
