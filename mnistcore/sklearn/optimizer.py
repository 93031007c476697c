"""A stochastic solver in the course of a training; it is pickled with its estimator."""

from dataclasses import dataclass
from types import ModuleType

import numpy as np

from ..kernels.layout import SGD
from ..training.optimizers import make_options, make_state


@dataclass(eq=False)
class Optimizer:
    """SGD or Adam: its constants, what it keeps between steps, and the rate it has come to.

    Attributes
    ----------
    options
        The (1,) record that ``train_steps`` takes.
    state
        (slots, P) float32.
    learning_rate
        Of the next epoch, where no schedule gives one for each step.
    step
        The number of updates made.
    run
        The updates between two looks at the penalty, so few that it is known well in between.
    """

    options: np.ndarray
    state: np.ndarray
    learning_rate: float
    step: int = 0
    run: int = 1

    @property
    def batch_size(self) -> int:
        """The size of a mini-batch."""
        return int(self.options["batch_size"][0])

    def change_rate(self, learning_rate: float) -> None:
        """Go on with another rate. The velocity keeps the pace that it has.

        The kernels' velocity is in units of the gradient, scikit-learn's in units of the
        parameters: there a step that was made at one rate has its momentum at that rate.
        """
        if self.options["optimizer"][0] == SGD:
            self.state *= np.float32(self.learning_rate / learning_rate)
        self.learning_rate = learning_rate

    def update(
        self, kernels: ModuleType, gradient: np.ndarray, learning_rate: float, params: np.ndarray
    ) -> None:
        """One step on flat ``params`` (P,), in place, by the backend's own update kernel."""
        self.step += 1
        record = self.options[0]
        if record["optimizer"] == SGD:
            velocity = self.state[0] if len(self.state) else params[:0]
            momentum, nesterov = float(record["momentum"]), bool(record["nesterov"])
            kernels.sgd_update(gradient, learning_rate, momentum, nesterov, 0.0, params, velocity)
        else:
            constants = (float(record[name]) for name in ("beta1", "beta2", "eps"))
            kernels.adam_update(
                gradient, learning_rate, *constants, 0.0, False, self.step, params, *self.state
            )


def make_optimizer(
    solver: str,
    params: np.ndarray,
    learning_rate: float,
    momentum: float,
    nesterov: bool,
    beta1: float,
    beta2: float,
    eps: float,
) -> Optimizer:
    """A fresh "sgd" or "adam" for flat ``params`` (P,)."""
    options = make_options(solver, beta1=beta1, beta2=beta2, eps=eps)
    if solver == "sgd":
        options["momentum"] = momentum  # 1 too, which scikit-learn allows
        options["nesterov"] = nesterov and momentum > 0
    return Optimizer(options, make_state(options, params), learning_rate)
