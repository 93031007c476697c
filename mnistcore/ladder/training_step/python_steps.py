"""A training step in plain Python: numbers, lists and nothing else."""

import math
from operator import mul

import numpy as np

from ..step import Step
from .arguments import Layer, each_batch
from .problem import LESSONS

Matrix = list[list[float]]


def product(a: Matrix, b: Matrix) -> Matrix:
    """Multiply: each element is the sum of a row of a times a column of b."""
    columns = transposed(b)
    return [[sum(map(mul, row, column)) for column in columns] for row in a]


def transposed(a: Matrix) -> Matrix:
    """Return the columns as rows."""
    return [list(column) for column in zip(*a, strict=True)]


def softmax(logits: list[float]) -> list[float]:
    """Return the probabilities of the classes."""
    largest = max(logits)
    powers = [math.exp(z - largest) for z in logits]
    total = sum(powers)
    return [power / total for power in powers]


def descend(values: np.ndarray, gradient: list[float] | Matrix, rate: float) -> None:
    """Take one step of gradient descent."""
    values -= rate * np.array(gradient)


@each_batch
def python_lists(
    inputs: np.ndarray, labels: np.ndarray, layers: list[Layer], rate: float
) -> tuple[float, int]:
    """Make one training step; return the mean loss and how many images were right."""
    activations: list[Matrix] = [inputs.tolist()]
    for weights, bias in layers:
        z = product(activations[-1], weights.tolist())
        z = [[t + b for t, b in zip(row, bias.tolist(), strict=True)] for row in z]
        activations.append([[max(t, 0.0) for t in row] for row in z])
    probs = [softmax(row) for row in z]
    loss = sum(-math.log(p[label]) for p, label in zip(probs, labels, strict=True)) / len(probs)
    hits = sum(row.index(max(row)) == label for row, label in zip(z, labels, strict=True))
    dz = [
        [(p - (c == label)) / len(probs) for c, p in enumerate(row)]
        for row, label in zip(probs, labels, strict=True)
    ]
    for (weights, bias), a in zip(layers[::-1], activations[-2::-1], strict=True):
        dweights, dbias = product(transposed(a), dz), [sum(column) for column in transposed(dz)]
        if a is not activations[0]:
            da = product(dz, transposed(weights.tolist()))
            dz = [
                [d if t > 0 else 0.0 for d, t in zip(*rows, strict=True)]
                for rows in zip(da, a, strict=True)
            ]
        descend(weights, dweights, rate)
        descend(bias, dbias, rate)
    return loss, hits


STEPS = [Step(LESSONS["python lists"], python_lists, (python_lists, product, transposed, softmax))]
