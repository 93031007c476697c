"""Keras: ``model.fit`` on its JAX backend, which is the faster of the two installed ones."""

import os

os.environ["KERAS_BACKEND"] = "jax"

import keras
import numpy as np

from . import Job, Peer, Weights

STEPS_PER_EXECUTION = 50


class KerasFit(Peer):
    """Compiled with jit; several steps an execution; it shuffles by itself."""

    note = f"model.fit, JAX backend, jit, steps_per_execution={STEPS_PER_EXECUTION}"
    follows_order = False

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        case = job.case
        self._x = self.scaled_images()
        hidden = [
            keras.layers.Dense(units, activation=case.activation)
            for units in case.layer_sizes[1:-1]
        ]
        self._model = keras.Sequential(
            [keras.Input((case.layer_sizes[0],)), *hidden, keras.layers.Dense(case.layer_sizes[-1])]
        )
        self._model.set_weights([part for pair in job.weights for part in pair])
        rule = keras.optimizers.Adam if case.optimizer == "adam" else keras.optimizers.SGD
        self._model.compile(
            optimizer=rule(case.learning_rate),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            jit_compile=True,
            steps_per_execution=STEPS_PER_EXECUTION,
        )

    def train(self, order: np.ndarray) -> None:
        everything = len(order) == len(self._x)
        x = self._x if everything else self._x[order]
        labels = self.job.labels if everything else self.job.labels[order]
        self._model.fit(
            x, labels, batch_size=self.job.case.batch_size, epochs=1, shuffle=True, verbose=0
        )

    def predict(self, images: np.ndarray) -> np.ndarray:
        x = np.multiply(images, np.float32(1 / 255), dtype=np.float32)
        if len(x) == 1:  # what Keras's documentation recommends for small inputs
            return np.asarray(self._model(x)).argmax(axis=1)
        return self._model.predict(x, batch_size=len(x), verbose=0).argmax(axis=1)

    def weights(self) -> Weights:
        parts = self._model.get_weights()
        return list(zip(parts[::2], parts[1::2], strict=True))
