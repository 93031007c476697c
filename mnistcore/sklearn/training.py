"""One epoch of a stochastic solver, and L-BFGS, with scikit-learn's penalty.

The penalty of a mini-batch is ``alpha / 2 * ||w||^2 / sum(sample weights)``, without biases. The
kernels add ``weight_decay * w`` to the gradient of a mean loss, so ``weight_decay`` is ``alpha``
over that sum, and consecutive batches with equal sums share one call of the kernels. The loss of
an epoch weights each batch by its number of samples, not by their weights.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..kernels.layout import HIT_SUM, LOSS_SUM, WEIGHT_SUM
from .layerwise import LayerwiseObjective
from .objectives import Objective, quiet
from .optimizer import Optimizer
from .weights import Weights

if TYPE_CHECKING:
    from scipy.optimize import OptimizeResult

PENALTY_ERROR = 1e-5  # bound on the error of an interpolated penalty, relative to the loss
CALL = 16_000_000_000  # multiply-adds per call, 0.1 to 0.5 s: Ctrl-C is checked between calls


class EpochSums(NamedTuple):
    """The mean loss, including the penalty, and the accuracy of an epoch.

    Each batch is measured before its update. NaN if a loss was not finite; the score is None for
    regression.
    """

    loss: float
    score: float | None


def train_epoch(
    objective: Objective,
    weights: Weights,
    optimizer: Optimizer,
    alpha: float,
    order: np.ndarray,
    rates: np.ndarray,
    check: Callable[[], None],
) -> EpochSums:
    """Train on the rows of ``order`` once, changing the weights in place.

    Parameters
    ----------
    objective
        The objective to minimise.
    weights
        The parameters, float32, and running statistics.
    optimizer
        The optimizer, with batch size, seed and epoch set in its options.
    alpha
        The strength of the penalty.
    order
        (n,) int64 row indices.
    rates
        The learning rate of each step.
    check
        Called before every call of the kernels; an exception that it raises ends the epoch.
    """
    batch_size, params = optimizer.batch_size, weights.params
    totals = _weights_of_batches(objective.samples.weights, order, batch_size)
    longest = max(1, min(objective.longest_run, CALL // (3 * batch_size * params.size)))
    loss = score = 0.0
    norm = objective.squared_norm(params) if alpha else 0.0
    last, run = 0, optimizer.run if alpha else longest
    while last < len(totals):
        check()
        first, last = last, _end_of_run(totals, last, run)
        rows = order[first * batch_size : last * batch_size]
        decay = alpha / totals[first] if totals[first] else 0.0
        optimizer.options["weight_decay"] = decay
        sums = objective.train(rows, rates[first:last], optimizer, weights)
        if not np.isfinite(sums[LOSS_SUM]):
            return EpochSums(np.nan, np.nan)
        weight = sums[WEIGHT_SUM] or 1.0
        before, norm = norm, objective.squared_norm(params) if alpha else 0.0
        penalty = 0.5 * decay * _mean_norm(before, norm, last - first)
        mean = sums[LOSS_SUM] / weight + penalty
        loss += len(rows) * mean
        # Within a run, the penalty is only known to lie between those at its ends.
        exact = 0.5 * decay * abs(norm - before) <= PENALTY_ERROR * mean
        run = min(longest, 2 * run) if exact else max(1, run // 2)
        score += len(rows) * sums[HIT_SUM] / weight
    optimizer.run = run
    mean_score = float(score) / len(order) if objective.counts_hits else None
    return EpochSums(float(loss) / len(order), mean_score)


def minimise(
    objective: LayerwiseObjective,
    start: np.ndarray,
    params: np.ndarray,
    alpha: float,
    max_iter: int,
    max_fun: int,
    tol: float,
    on_iteration: Callable[[float], bool],
) -> "OptimizeResult":
    """Minimise with SciPy's L-BFGS on all samples at once.

    Uses float64, because the line search compares losses that float32 cannot tell apart.

    Parameters
    ----------
    objective
        The objective to minimise, in float64.
    start
        (P,) float64, the initial parameters.
    params
        (P,) float32, written with the current parameters after every iteration.
    alpha
        The strength of the penalty.
    max_iter, max_fun, tol
        The maximum number of iterations and of evaluations, and the largest gradient component
        at convergence.
    on_iteration
        Called with the loss after every iteration, once ``params`` is updated; stops if it
        returns True.

    Returns
    -------
    result
        SciPy's result, with ``fun``, ``nit``, ``nfev``, ``status`` and ``message``.
    """
    from scipy.optimize import minimize

    def keep(point: np.ndarray) -> None:
        with quiet():
            params[:] = point

    def callback(intermediate_result: "OptimizeResult") -> None:
        keep(intermediate_result.x)
        if on_iteration(float(intermediate_result.fun)):
            raise StopIteration

    options = {"maxfun": max_fun, "maxiter": max_iter, "gtol": tol}
    evaluate = _penalised(objective, alpha)
    result = minimize(
        evaluate, start, jac=True, method="L-BFGS-B", options=options, callback=callback
    )
    keep(result.x)
    return result


def _penalised(
    objective: LayerwiseObjective, alpha: float
) -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
    """Return a function from parameters (P,) float64 to the penalised loss and its gradient."""
    weights = objective.samples.weights
    total = float(weights.sum()) if weights.size else len(objective.samples)
    decay = alpha / total if total else 0.0

    def evaluate(params: np.ndarray) -> tuple[float, np.ndarray]:
        gradient = np.empty_like(params)
        loss = objective.loss_and_gradient(params, gradient)
        if decay:
            loss += 0.5 * decay * objective.squared_norm(params)
            objective.decay(params, decay, gradient)
        return loss, gradient

    return evaluate


def _mean_norm(first: float, last: float, steps: int) -> float:
    """Interpolate the mean of a norm over the starts of ``steps`` steps, geometrically.

    This is exact if decay dominates, and nearly linear if the norm changes little.
    """
    if steps == 1:
        return first
    if not first:
        return last * (steps - 1) / (2 * steps)
    return first * float(np.mean((last / first) ** (np.arange(steps) / steps)))


def _weights_of_batches(weights: np.ndarray, order: np.ndarray, batch_size: int) -> np.ndarray:
    """Return the sum of the sample weights of each batch."""
    starts = np.arange(0, len(order), batch_size)
    if weights.size:
        return np.add.reduceat(weights[order].astype(np.float64), starts)
    return np.minimum(batch_size, len(order) - starts)


def _end_of_run(totals: np.ndarray, first: int, longest: int) -> int:
    """Return the end of the run of batches from ``first`` with equal weight sums, capped."""
    others = np.flatnonzero(totals[first : first + longest] != totals[first])
    return first + (int(others[0]) if len(others) else min(longest, len(totals) - first))
