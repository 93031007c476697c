"""One epoch of a stochastic solver, and L-BFGS: the arithmetic of scikit-learn's penalty.

The penalty of a mini-batch is ``alpha / 2 * ||w||^2 / sum of its sample weights``, biases left
out; the kernels add ``weight_decay * w`` to the gradient of a mean loss, so the decay of a batch
is ``alpha`` over that sum, and batches of one sum share a call of the kernels.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..kernels.layout import HIT_SUM, LOSS_SUM, WEIGHT_SUM
from .objectives import Objective
from .optimizer import Optimizer

if TYPE_CHECKING:
    from scipy.optimize import OptimizeResult

CALL = 16_000_000_000  # multiply-adds of a call, 0.1 to 0.5 s: between two looks for Ctrl-C


class EpochSums(NamedTuple):
    """What an epoch came to: its mean loss with the penalty, and its share of right answers.

    Both are means over the epoch, each batch before its update; NaN where a loss was not finite;
    the score is None where no answer is right or wrong.
    """

    loss: float
    score: float | None


def train_epoch(
    objective: Objective,
    params: np.ndarray,
    optimizer: Optimizer,
    alpha: float,
    order: np.ndarray,
    rates: np.ndarray,
    check: Callable[[], None],
) -> EpochSums:
    """Train on the rows of ``order`` once; the parameters (P,) change in place.

    Parameters
    ----------
    objective
        What to minimise.
    params
        (P,) float32.
    optimizer
        With the batch size, the seed and the epoch in its options.
    alpha
        The strength of the penalty.
    order
        (n,) int64 row numbers.
    rates
        The learning rate of each step.
    check
        Called before every call of the kernels; what it raises ends the epoch there.
    """
    batch_size = optimizer.batch_size
    decays = _decays(alpha, objective.samples.weights, order, batch_size)
    longest = max(1, min(objective.longest_run, CALL // (3 * batch_size * params.size)))
    loss = score = 0.0
    norm = objective.squared_norm(params) if alpha else 0.0
    for first, last in _runs(decays, longest):
        check()
        rows = order[first * batch_size : last * batch_size]
        optimizer.options["weight_decay"] = decays[first]
        sums = objective.train(rows, rates[first:last], optimizer, params)
        if not np.isfinite(sums[LOSS_SUM]):
            return EpochSums(np.nan, np.nan)
        weight = sums[WEIGHT_SUM] or 1.0
        before, norm = norm, objective.squared_norm(params) if alpha else 0.0
        penalty = 0.5 * decays[first] * _mean_norm(before, norm, last - first)
        loss += len(rows) * (sums[LOSS_SUM] / weight + penalty)
        score += len(rows) * sums[HIT_SUM] / weight
    mean_score = float(score) / len(order) if objective.counts_hits else None
    return EpochSums(float(loss) / len(order), mean_score)


def minimise(
    objective: Objective,
    params: np.ndarray,
    alpha: float,
    max_iter: int,
    max_fun: int,
    tol: float,
    on_iteration: Callable[[float], bool],
) -> "OptimizeResult":
    """L-BFGS on all samples at once, by SciPy; the parameters (P,) change in place.

    Parameters
    ----------
    objective, params, alpha
        As in :func:`train_epoch`.
    max_iter, max_fun, tol
        The most iterations, the most evaluations, and the largest component of a gradient that
        counts as zero.
    on_iteration
        Called with the loss after every iteration, when ``params`` is up to date; True ends it.

    Returns
    -------
    result
        SciPy's, with ``fun``, ``nit``, ``status`` and ``message``.
    """
    from scipy.optimize import minimize

    weights = objective.samples.weights
    total = float(weights.sum(dtype=np.float64)) if weights.size else len(objective.samples)
    decay = alpha / total if total else 0.0
    point = params.copy()
    gradient = np.empty_like(params)

    def evaluate(x: np.ndarray) -> tuple[float, np.ndarray]:
        point[:] = x
        loss = objective.loss_and_gradient(point, gradient)
        if decay:
            loss += 0.5 * decay * objective.squared_norm(point)
            objective.decay(point, decay, gradient)
        return loss, gradient.astype(np.float64)

    def callback(intermediate_result: "OptimizeResult") -> None:
        params[:] = intermediate_result.x
        if on_iteration(float(intermediate_result.fun)):
            raise StopIteration

    options = {"maxfun": max_fun, "maxiter": max_iter, "gtol": tol}
    result = minimize(
        evaluate, params, jac=True, method="L-BFGS-B", options=options, callback=callback
    )
    params[:] = result.x
    return result


def _mean_norm(first: float, last: float, steps: int) -> float:
    """The mean of a norm at the starts of so many steps, each of which changed it by one factor.

    That is so while the decay rules, and all but a straight line where it changes little.
    """
    if steps == 1:
        return first
    if not first:
        return last * (steps - 1) / (2 * steps)
    return first * float(np.mean((last / first) ** (np.arange(steps) / steps)))


def _decays(alpha: float, weights: np.ndarray, order: np.ndarray, batch_size: int) -> np.ndarray:
    """The weight decay of each batch; 0 where all its samples weigh nothing."""
    starts = np.arange(0, len(order), batch_size)
    if weights.size:
        totals = np.add.reduceat(weights[order].astype(np.float64), starts)
    else:
        totals = np.minimum(batch_size, len(order) - starts)
    return np.divide(alpha, totals, out=np.zeros(len(totals)), where=totals > 0)


def _runs(decays: np.ndarray, longest: int) -> Iterator[tuple[int, int]]:
    """The stretches of batches with one decay, first and last + 1, none too long."""
    first = 0
    for batch in range(1, len(decays) + 1):
        ended = batch == len(decays) or decays[batch] != decays[first]
        if ended or batch - first == longest:
            yield first, batch
            first = batch
