"""Back-propagation in six steps, from one neuron to a trainer: read it from top to bottom.

Plain NumPy; nothing is imported from the rest of the package. ``d<name>`` is the derivative of the
loss by ``<name>``. It has the same shape, and says of each number how fast the loss grows if that
number grows. ``python -m mnistcore.ladder.backprop`` checks each step against central differences:
change one number by a tiny amount, and see how the loss changes.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

__all__ = [
    "Params",
    "init",
    "layer_loops",
    "linear",
    "linear_backward",
    "loss_and_gradients",
    "network_backward",
    "network_forward",
    "neuron",
    "predict",
    "relu",
    "relu_backward",
    "softmax_cross_entropy",
    "train_epoch",
]

Params = list[tuple[np.ndarray, np.ndarray]]  # w (I, O) and b (O,) of each layer


# 1. One neuron


def neuron(x: float, w: float, b: float, target: float) -> tuple[float, float, float, float]:
    """Return the loss of one neuron with one input, and its derivatives by x, w and b.

    Idea: The loss is a chain of simple functions. The chain rule says that the
    slope of a chain is the product of the slopes of its links, so we walk back
    along it and multiply.

    Derivation: Forward, each line uses the one before:

        z = w x + b
        a = max(0, z)                       (ReLU)
        loss = (a - target)^2 / 2

    Backward, from the last line to the first, each derivative is the one
    before times one slope:

        da = dloss/da             = a - target
        dz = da  da/dz            = da  if z > 0, else 0
        dw = dz  dz/dw            = dz x
        db = dz  dz/db            = dz
        dx = dz  dz/dx            = dz w

    Read: Rumelhart, Hinton and Williams, Learning representations by
    back-propagating errors, Nature 323 (1986); Goodfellow, Bengio and
    Courville, Deep Learning (2016), section 6.5.2.
    """
    z = w * x + b
    a = max(0.0, z)
    loss = (a - target) ** 2 / 2
    da = a - target
    dz = da if z > 0 else 0.0
    dw = dz * x
    db = dz
    dx = dz * w
    return loss, dx, dw, db


# 2. One layer


def layer_loops(
    x: np.ndarray, w: np.ndarray, b: np.ndarray, da: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the outputs of a layer for one input x (I,), and the derivatives by x, w and b.

    Idea: Many neurons side by side read the same inputs. What comes after the
    layer need not be known: all that the layer must be told is da (O,), the
    derivatives of the loss by its outputs.

    Derivation: Unit j is the neuron of step 1 with several inputs:

        z[j] = b[j] + sum over i of x[i] w[i, j]
        a[j] = max(0, z[j])

    A weight touches one unit, so for dw and db nothing is new:

        dz[j]    = da[j]  if z[j] > 0, else 0
        dw[i, j] = dz[j] x[i]
        db[j]    = dz[j]

    An input reaches the loss through every unit. If it grows a little, the
    loss changes by what comes through unit 0, plus what comes through unit 1,
    and so on. Derivatives along different ways add up:

        dx[i] = sum over j of dz[j] w[i, j]

    Read: Bishop, Pattern Recognition and Machine Learning (2006), section
    5.3.1.
    """
    a, dx, dw, db = np.zeros(len(b)), np.zeros(len(x)), np.zeros(w.shape), np.zeros(len(b))
    for j in range(len(b)):
        z = b[j]
        for i in range(len(x)):
            z += x[i] * w[i, j]
        a[j] = max(0.0, z)
        dz = da[j] if z > 0 else 0.0
        db[j] = dz
        for i in range(len(x)):
            dw[i, j] = dz * x[i]
            dx[i] += dz * w[i, j]
    return a, dx, dw, db


# 3. Matrices


def linear(x: np.ndarray, w: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return z = x w + b for a batch: x (B, I), w (I, O), b (O,), z (B, O).

    Idea: A batch of B inputs is a matrix with a row for each. All loops of
    step 2, over inputs, units and now rows, are matrix products.

    Derivation: In each formula look for the index that is summed over, and
    place the matrices so that it is the inner one. (B, I) by (I, O) is (B, O):

        z[n, j] = b[j] + sum over i of x[n, i] w[i, j]        z  = x w + b

    Backward, x[n, i] is still summed over the units j, which is w transposed:

        dx[n, i] = sum over j of dz[n, j] w[i, j]             dx = dz w^T

    A weight is used once for each row, and reaches the loss through all of
    them; so does a bias:

        dw[i, j] = sum over n of x[n, i] dz[n, j]             dw = x^T dz
        db[j]    = sum over n of dz[n, j]                     db = column sums of dz

    The activation is applied to each number alone, and so is its derivative.
    For the ReLU a > 0 says the same as z > 0, so z need not be kept:

        dz = da  where a > 0, else 0

    Read: Nielsen, Neural Networks and Deep Learning (2015), chapter 2;
    Goodfellow, Bengio and Courville, section 6.5.
    """
    return x @ w + b


def linear_backward(
    x: np.ndarray, w: np.ndarray, dz: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return dx, dw and db of :func:`linear`, where they are derived."""
    dx = dz @ w.T
    dw = x.T @ dz
    db = dz.sum(axis=0)
    return dx, dw, db


def relu(z: np.ndarray) -> np.ndarray:
    """Return a = max(0, z)."""
    return np.maximum(0, z)


def relu_backward(a: np.ndarray, da: np.ndarray) -> np.ndarray:
    """Return dz of :func:`relu` from its result a: see :func:`linear`."""
    return da * (a > 0)


# 4. Many layers


def network_forward(x: np.ndarray, params: Params) -> list[np.ndarray]:
    """Return [x, a of layer 1, a of layer 2, ..., z of the last layer].

    Idea: What a layer calls x, the layer below calls a. So the dx of a layer
    is the da of the layer below it, and the same few lines lead from the last
    layer to the first.

    Derivation: With a(0) = x, and layers 1 to L:

        z(l) = a(l-1) w(l) + b(l)
        a(l) = relu(z(l))                  but the last layer stops at z(L), the logits

    The backward pass begins with dz(L), which the loss delivers, and repeats
    for l = L, ..., 1:

        dw(l)   = a(l-1)^T dz(l)
        db(l)   = column sums of dz(l)
        da(l-1) = dz(l) w(l)^T             dx of layer l, by its other name
        dz(l-1) = da(l-1)  where a(l-1) > 0, else 0

    dw(l) needs a(l-1), so the forward pass keeps every a. One backward pass
    gives all derivatives for the price of about two forward passes: two
    products for each layer instead of one. Central differences would take two
    forward passes for each single weight.

    Read: Rumelhart, Hinton and Williams (1986); Bishop, section 5.3.3, on the
    cost.
    """
    activations = [x]
    for w, b in params[:-1]:
        activations.append(relu(linear(activations[-1], w, b)))
    activations.append(linear(activations[-1], *params[-1]))
    return activations


def network_backward(activations: list[np.ndarray], params: Params, dz: np.ndarray) -> Params:
    """Return (dw, db) of each layer, from dz of the last one: see :func:`network_forward`."""
    gradients: Params = []
    for layer in reversed(range(len(params))):
        a, (w, _) = activations[layer], params[layer]  # a: what the layer read
        da, dw, db = linear_backward(a, w, dz)
        gradients.append((dw, db))
        dz = relu_backward(a, da)  # of the layer below
    return gradients[::-1]


# 5. The loss


def softmax_cross_entropy(logits: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the mean loss of a batch and dlogits: logits (B, C), labels (B,) from 0 to C - 1.

    Idea: Softmax turns the logits of a row into probabilities; the loss is
    small if the probability of the right class is high. Alone, each has an
    awkward derivative. Together they have the simplest one could wish for:
    probabilities minus what they should have been.

    Derivation: For one row, with t the right class and S the sum over all k of
    exp(logit[k]):

        probs[c] = exp(logit[c]) / S
        loss     = -log probs[t] = log S - logit[t]

    By the chain rule, log S has the derivative (1 / S) dS/dlogit[c] =
    exp(logit[c]) / S, which is probs[c]. And logit[t] has the derivative 1 if
    c = t, and 0 otherwise. So

        dlogit[c] = probs[c] - 1  if c = t, else probs[c]
        dlogits   = (probs - onehot) / B

    where a row of onehot is 1 at the right class and 0 elsewhere, and B comes
    from the mean.

    exp overflows for large logits. Subtracting the largest logit of a row from
    all of them multiplies S and each exp by the same factor, which cancels in
    probs and in the loss.

    Read: Bishop, section 4.3.4; Goodfellow, Bengio and Courville, section
    6.2.2.3.
    """
    shifted = logits - logits.max(axis=1, keepdims=True)
    exps = np.exp(shifted)
    sums = exps.sum(axis=1, keepdims=True)
    rows = np.arange(len(labels))
    loss = np.mean(np.log(sums[:, 0]) - shifted[rows, labels])
    dlogits = exps / sums
    dlogits[rows, labels] -= 1
    dlogits /= len(labels)
    return float(loss), dlogits


# 6. The trainer


def init(sizes: Sequence[int], rng: np.random.Generator, dtype: type = np.float32) -> Params:
    """Return random weights and zero biases for layers of these sizes, such as (784, 128, 10).

    Idea: If all weights were equal, all units of a layer would compute the
    same, get the same derivatives, and stay the same for ever. Random weights
    tell them apart; their size keeps the outputs of a layer about as large as
    its inputs.

    Derivation: z[j] is a sum of I products. If the weights have mean 0 and
    variance v, and the mean square of the inputs is s, then z[j] has variance
    I v s. The ReLU sets half of the z to 0, so the mean square of a[j] is I v
    s / 2. That is s again if v = 2 / I.

    Read: He et al., Delving Deep into Rectifiers (2015), section 2.2.
    """
    return [
        (rng.normal(0, (2 / i) ** 0.5, (i, o)).astype(dtype), np.zeros(o, dtype))
        for i, o in pairwise(sizes)
    ]


def loss_and_gradients(params: Params, x: np.ndarray, labels: np.ndarray) -> tuple[float, Params]:
    """Return the mean loss of a batch, and (dw, db) of each layer: steps 4 and 5 together."""
    activations = network_forward(x, params)
    loss, dlogits = softmax_cross_entropy(activations[-1], labels)
    return loss, network_backward(activations, params, dlogits)


def train_epoch(
    params: Params,
    x: np.ndarray,
    labels: np.ndarray,
    batch_size: int,
    learning_rate: float,
    rng: np.random.Generator,
) -> float:
    """Change params in place, once for each batch of a pass over the data; return the mean loss.

    Idea: Gradient descent. A derivative says in which direction the loss
    grows, so each number takes a small step the other way. A few dozen images
    already give a good estimate of the derivatives for all images, at a
    thousandth of the cost; so the images are shuffled, and every small batch
    makes a step.

    Derivation: To first order, small changes of the parameters change the loss
    by

        change of loss = sum over all parameters of dp (change of p)

    With the change of p = -learning_rate dp, that is -learning_rate (sum of
    dp^2): never uphill, as long as the learning rate is so small that the
    first order is all that matters.

    Read: Nielsen, chapter 1; Goodfellow, Bengio and Courville, sections 8.1.3
    and 8.3.1.
    """
    order = rng.permutation(len(x))
    losses = []
    for start in range(0, len(x), batch_size):
        batch = order[start : start + batch_size]
        loss, gradients = loss_and_gradients(params, x[batch], labels[batch])
        losses.append(loss)
        for (w, b), (dw, db) in zip(params, gradients, strict=True):
            w -= learning_rate * dw
            b -= learning_rate * db
    return float(np.mean(losses))


def predict(params: Params, x: np.ndarray) -> np.ndarray:
    """Return the class with the largest logit for each row of x."""
    classes: np.ndarray = network_forward(x, params)[-1].argmax(axis=1)
    return classes
