"""The state of a stochastic solver during training; it is pickled with its estimator."""

from dataclasses import dataclass
from types import ModuleType

import numpy as np

from ..kernels.layout import SGD
from ..training.optimizers import make_options, make_state


@dataclass(eq=False)
class Optimizer:
    """SGD or Adam: constants, state and current learning rate.

    Attributes
    ----------
    options
        The (1,) record of options for ``train_steps``.
    state
        (slots, P) float32.
    learning_rate
        The rate of the next epoch, unless a schedule gives one for each step.
    step
        The number of updates made.
    run
        The number of updates between exact evaluations of the penalty, which is interpolated.
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

    def own_arrays(self) -> None:
        """Copy the arrays that are read-only, as in an estimator that a worker process maps."""
        self.options = np.require(self.options, requirements="W")
        self.state = np.require(self.state, requirements="W")

    def change_rate(self, learning_rate: float) -> None:
        """Change the learning rate; SGD's velocity is rescaled so that its momentum is kept.

        The kernels' velocity is in units of the gradient, but scikit-learn's is in units of the
        parameters and thus unaffected by a change of rate.
        """
        if self.options["optimizer"][0] == SGD:
            self.state *= np.float32(self.learning_rate / learning_rate)
        self.learning_rate = learning_rate

    def update(
        self, kernels: ModuleType, gradient: np.ndarray, learning_rate: float, params: np.ndarray
    ) -> None:
        """Make one step on ``params`` (P,) in place, with the backend's update kernel."""
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
    """Return a new "sgd" or "adam" optimizer for ``params`` (P,)."""
    options = make_options(
        solver, momentum=momentum, nesterov=nesterov and momentum > 0, beta1=beta1, beta2=beta2,
        eps=eps,
    )  # fmt: skip
    return Optimizer(options, make_state(options, params), learning_rate)
