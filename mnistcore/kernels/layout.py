"""The tables that describe a network and a run to the kernels: columns, codes and records.

Networks and options are passed as data, so one compiled program serves them all: ``layers`` is an
int64 table with a row per layer, ``options`` one structured record.
"""

import operator
from typing import NamedTuple

import numpy as np

# The columns of the ``layers`` table.
KIND = 0  # what the layer computes: one of the kinds below
FAN_IN = 1
FAN_OUT = 2
ACTIVATION = 3  # one of the codes below
WEIGHT_OFFSET = 4  # where the weights (fan_in, fan_out) begin in the flat parameter vector
BIAS_OFFSET = 5  # where the bias (fan_out,) begins in it
DECAY = 6  # 1 if weight decay acts on the weights of the layer
DROPOUT = 7  # the dropout rate after the activation, in units of 2**-32
LAYER_COLUMNS = 8

# The kinds of layer. Batch normalisation acts before the activation, with the bias as its shift;
# its gains (fan_out,) follow the bias in the flat parameter vector.
DENSE = 0
NORMALIZED = 1

# The codes of the ACTIVATION column. The last layer is IDENTITY: its outputs are logits.
IDENTITY = 0
LOGISTIC = 1
TANH = 2
RELU = 3
ACTIVATIONS = {"identity": IDENTITY, "logistic": LOGISTIC, "tanh": TANH, "relu": RELU}

# The codes of ``options["optimizer"]``.
SGD = 0
ADAM = 1
ADAMW = 2
OPTIMIZERS = {"sgd": SGD, "adam": ADAM, "adamw": ADAMW}

# Which zeros the products of a program leave out: none, those of hidden layers, or all.
SKIP_NOTHING = 0
SKIP_HIDDEN = 1
SKIP_ALL = 2


class Options(NamedTuple):
    """The fields of the options record, in order.

    Attributes
    ----------
    batch_size
        Samples of a step.
    optimizer
        SGD, ADAM or ADAMW.
    nesterov
        0 or 1; for SGD with momentum only.
    seed
        Of dropout.
    epoch
        Of dropout: a new epoch draws new masks.
    scale, shift
        An input value enters as ``value * scale + shift``.
    momentum
        Of SGD, in [0, 1).
    beta1, beta2
        The decays of Adam's means of gradients and of their squares, in [0, 1).
    eps
        The constant in Adam's denominator, above 0.
    weight_decay
        The L2 penalty on weights, decoupled in ADAMW; at least 0.
    probs_clip
        Reported losses use probs clipped to [clip, 1 - clip]; 0: not clipped.
    label_smoothing
        The share of the target that is spread evenly over all classes.
    norm_momentum
        The share of a batch in the running statistics of batch normalisation.
    norm_eps
        Added to its variances.
    max_norm
        The largest norm of a unit's weights, to which larger ones shrink; 0: none.
    ema_decay
        Of the average of the parameters, per update; 0: none.
    clip_norm
        The largest norm of the whole gradient, to which larger ones shrink; 0: none.
    skip_zeros
        0 or 1: skip inputs that are zero; the reference never does.
    """

    batch_size: int
    optimizer: int
    nesterov: int
    seed: int
    epoch: int
    scale: float
    shift: float
    momentum: float
    beta1: float
    beta2: float
    eps: float
    weight_decay: float
    probs_clip: float
    label_smoothing: float
    norm_momentum: float
    norm_eps: float
    max_norm: float
    ema_decay: float
    clip_norm: float
    skip_zeros: int


# The dtype of the options record: eight bytes a field, so that NumPy, Numba and C agree on it.
_EIGHT_BYTES = {int: np.int64, float: np.float64}
OPTIONS_DTYPE = np.dtype(
    [(name, _EIGHT_BYTES[kind]) for name, kind in Options.__annotations__.items()], align=True
)


class Augmentation(NamedTuple):
    """The fields of the options of the kernel ``augment``, in order: the strength of each part.

    The defaults of ``training.augmentation`` suit digits. All parts at 0 leave an image as it is.

    Attributes
    ----------
    rotation
        The largest rotation in degrees, in [0, 90].
    shear
        The largest slant: columns of width 1 for each row, in [0, 1].
    scale
        The largest change of width, and of height, as a share, in [0, 0.9].
    shift
        The largest shift along each axis, as a share of the side, in [0, 1].
    elastic
        Root mean square of the elastic displacements, as a share of the side, in [0, 0.5].
    smoothness
        Width of the Gaussian that smooths them, as a share of the side, in [0.02, 1].
    thickness
        The largest change of strokes: 1 adds a pixel on each side, in [0, 1].
    """

    rotation: float
    shear: float
    scale: float
    shift: float
    elastic: float
    smoothness: float
    thickness: float


AUGMENTATION_DTYPE = np.dtype([(name, np.float64) for name in Augmentation._fields], align=True)

# The units of the random numbers that deform a sample, and the layer that they count as.
ROTATED, SHEARED, WIDENED, HEIGHTENED, SHIFTED_X, SHIFTED_Y, THICKENED = range(7)
FIRST_CONTROL = 8  # here and after it: displacements of the control points, first all along x
AUGMENTATION_LAYER = 0xFFFFFFFF

# Fixed-point numbers of the deformation: integers, so that all backends agree to the bit.
POSITION_BITS = 16  # of the fraction of a position, in pixels
TURN_BITS = 30  # of the fraction of a sine or cosine
WEIGHT_BITS = 14  # of the fraction of the weight of a control point


class Deformation(NamedTuple):
    """The strengths of an augmentation as whole numbers: see :func:`.deformation.plan`."""

    side: int
    controls: int  # control points along each axis
    line: int  # the length of a row of weights: the side, rounded up to whole vectors
    rotation: int  # radians, in units of 2**-TURN_BITS
    shear: int  # in units of 2**-POSITION_BITS, like the next two
    scale: int
    shift: int  # pixels
    thickness: int  # in units of 2**-8
    elastic: int  # largest displacement of a control point: 2**-(elastic_bits + 2) pixels are 1
    elastic_bits: int


# The entries of ``metrics``.
LOSS_SUM = 0  # sum of weight * loss
WEIGHT_SUM = 1
HIT_SUM = 2  # sum of weight where the largest logit is the label's
METRICS = 3


UPDATE_WORK = 4  # multiply-adds for a parameter's update: few, since threads share the memory
AVERAGE_EVERY = 8  # updates from one entry into the average of the parameters to the next
MOST_SLOTS = 3  # rows of state


def optimizer_slots(record: Options) -> int:
    """Return how many rows of ``state`` an optimizer keeps: 0, 1 (velocity) or 2 (m, v)."""
    if record.optimizer == SGD:
        return 1 if record.momentum else 0
    return 2


def state_slots(record: Options) -> int:
    """Return the rows of ``state``: those of the optimizer, and the average of the parameters."""
    return optimizer_slots(record) + (record.ema_decay > 0)


def gradient_options(options: np.ndarray, batch_size: int) -> np.ndarray:
    """Return options for the gradient of one batch: those that act on an update are 0."""
    options = options.copy()
    options["batch_size"] = batch_size
    options["max_norm"] = options["ema_decay"] = options["clip_norm"] = 0.0
    return options


def divides_inputs(options: np.ndarray) -> bool:
    """Whether threads may own parts of a narrow first layer: not if an update needs all of it."""
    return not (options["max_norm"][0] or options["clip_norm"][0])


def buffer_size(layers: np.ndarray) -> int:
    """Return the length of ``buffers``: running means, then variances, of normalised layers."""
    return 2 * int(layers[layers[:, KIND] == NORMALIZED, FAN_OUT].sum())


def skippable_zeros(scale: float, shift: float, params: np.ndarray) -> int:
    """Return which zeros a product may leave out: SKIP_NOTHING, SKIP_HIDDEN or SKIP_ALL.

    They must add nothing, so all weights must be finite, and inputs must stay 0 when scaled.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        finite = np.isfinite(params.sum())  # one pass; a sum that overflows only costs time
        stays = shift == 0.0 and np.isfinite(params.dtype.type(scale))
    if not finite:
        return SKIP_NOTHING
    return SKIP_ALL if stays else SKIP_HIDDEN


DENSE_SHARE = 0.75  # of inputs that are not zero: with more, looking for zeros does not pay
SAMPLE = 8  # rows that are looked at


def skipped_zeros(options: np.ndarray, params: np.ndarray, x: np.ndarray) -> int:
    """Return which zeros a training program leaves out: none, if its options say so.

    It does not look for zeros among inputs ``x`` that have hardly any, to judge by a few rows.
    """
    record = options[0]
    if not record["skip_zeros"]:
        return SKIP_NOTHING
    skip = skippable_zeros(float(record["scale"]), float(record["shift"]), params)
    if skip == SKIP_ALL:
        rows = x[:: max(1, len(x) // SAMPLE)][:SAMPLE]
        if np.count_nonzero(rows) > DENSE_SHARE * rows.size:
            return SKIP_HIDDEN
    return skip


def dropout_threshold(rate: float) -> int:
    """Return the DROPOUT column for a rate: units with smaller 32-bit random numbers drop.

    Raises
    ------
    ValueError
        If ``rate`` is outside [0, 1).
    """
    if not 0.0 <= rate < 1.0:
        raise ValueError(f"dropout rate must be in [0, 1), got {rate}")
    return int(rate * 2**32)


def mix32(bits: np.ndarray) -> np.ndarray:
    """Scramble uint32 numbers with ``lowbias32``, a finalizer that C. Wellons found by search.

    It is a bijection made of two multiplications and three xor-shifts. Flipping one input bit
    flips each output bit with probability 1/2 to within 0.1 %.
    """
    bits = bits ^ (bits >> np.uint32(16))
    bits = bits * np.uint32(0x7FEB352D)
    bits = bits ^ (bits >> np.uint32(15))
    bits = bits * np.uint32(0x846CA68B)
    return bits ^ (bits >> np.uint32(16))


LOW_BITS = 0xFFFFFFFF  # the bits of seed, epoch, sample and layer that are used


def low_bits(*numbers: int) -> tuple[int, ...]:
    """Return the bits used of a seed, an epoch or a layer, whole numbers of any type."""
    return tuple(operator.index(number) & LOW_BITS for number in numbers)


GOLDEN = np.uint32(0x9E3779B9)  # 2**32 / golden ratio, odd: spreads consecutive units


def random_bits(samples: np.ndarray, n_units: int, seed: int, epoch: int, layer: int) -> np.ndarray:
    """Return the uint32 random numbers (len(samples), n_units) of a layer, as in every backend.

    The number of a unit is ``mix(key ^ (unit * GOLDEN))`` with
    ``key = mix(mix(mix(mix(seed) + epoch) + sample) + layer)``, all modulo 2**32. A counter hash
    has no shared state, so any thread can draw any number. Source: the idea of Salmon et al.
    2011, "Parallel random numbers: as easy as 1, 2, 3".
    """
    seed, epoch, layer = low_bits(seed, epoch, layer)
    key = mix32(np.array([seed], np.uint32)) + np.uint32(epoch)
    key = mix32(key) + (samples & LOW_BITS).astype(np.uint32)
    key = mix32(mix32(key) + np.uint32(layer))
    units = np.arange(n_units, dtype=np.uint32) * GOLDEN
    return mix32(key[:, None] ^ units)
