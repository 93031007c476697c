"""One epoch of a stochastic solver, and L-BFGS: the arithmetic of scikit-learn's penalty.

The penalty of a mini-batch is ``alpha / 2 * ||w||^2 / sum of its sample weights``, biases left
out; the kernels add ``weight_decay * w`` to the gradient of a mean loss, so the decay of a batch
is ``alpha`` over that sum. The loss of an epoch counts each batch by its samples, not by their
weights. So batches of one sum share a call of the kernels.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..kernels.layout import HIT_SUM, LOSS_SUM, WEIGHT_SUM
from .layerwise import LayerwiseObjective
from .objectives import Objective, quiet
from .optimizer import Optimizer

if TYPE_CHECKING:
    from scipy.optimize import OptimizeResult

PENALTY_ERROR = 1e-5  # of the loss: what an interpolated penalty may be off by, and seldom is
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
        sums = objective.train(rows, rates[first:last], optimizer, params)
        if not np.isfinite(sums[LOSS_SUM]):
            return EpochSums(np.nan, np.nan)
        weight = sums[WEIGHT_SUM] or 1.0
        before, norm = norm, objective.squared_norm(params) if alpha else 0.0
        penalty = 0.5 * decay * _mean_norm(before, norm, last - first)
        mean = sums[LOSS_SUM] / weight + penalty
        loss += len(rows) * mean
        # The penalty in between is only known to lie between those at the ends of a run.
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
    """L-BFGS on all samples at once, by SciPy; the parameters (P,) change in place.

    It compares losses that differ by less than float32 can tell apart, hence float64.

    Parameters
    ----------
    objective
        What to minimise, in float64.
    start
        (P,) float64, the parameters to begin with.
    params
        (P,) float32, which receive those that it comes to.
    alpha
        The strength of the penalty.
    max_iter, max_fun, tol
        The most iterations, the most evaluations, and the largest component of a gradient that
        counts as zero.
    on_iteration
        Called with the loss after every iteration, when ``params`` is up to date; True ends it.

    Returns
    -------
    result
        SciPy's, with ``fun``, ``nit``, ``nfev``, ``status`` and ``message``.
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
    """The loss with its penalty and the gradient, of flat parameters (P,) in float64."""
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
    """The mean of a norm at the starts of so many steps, each of which changed it by one factor.

    That is so while the decay rules, and all but a straight line where it changes little.
    """
    if steps == 1:
        return first
    if not first:
        return last * (steps - 1) / (2 * steps)
    return first * float(np.mean((last / first) ** (np.arange(steps) / steps)))


def _weights_of_batches(weights: np.ndarray, order: np.ndarray, batch_size: int) -> np.ndarray:
    """The sum of the sample weights of each batch."""
    starts = np.arange(0, len(order), batch_size)
    if weights.size:
        return np.add.reduceat(weights[order].astype(np.float64), starts)
    return np.minimum(batch_size, len(order) - starts)


def _end_of_run(totals: np.ndarray, first: int, longest: int) -> int:
    """The end of the batches from ``first`` on that weigh the same, not too many of them."""
    others = np.flatnonzero(totals[first : first + longest] != totals[first])
    return first + (int(others[0]) if len(others) else min(longest, len(totals) - first))
