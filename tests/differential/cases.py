"""What is tried: networks, options, data and ways to compute, and arrays for them."""

import dataclasses
import json
from dataclasses import dataclass

import numpy as np
from problems import NONE, Problem

from mnistcore.kernels import KERNELS
from mnistcore.kernels.layout import Options
from mnistcore.models.network import Network
from mnistcore.training.optimizers import make_options

# The tiles and vectors of every instruction set, one less and one more; MNIST's number of pixels.
EDGES = (1, 2, 3, 5, 6, 7, 8, 9, 12, 13, 14, 15, 16, 17, 24, 31, 32, 33, 47, 48, 49, 63, 64, 65)
EDGES += (96, 100, 127, 128, 129, 160, 192, 255, 256, 257, 300, 784)


@dataclass(frozen=True)
class Case:
    """One call, or several that must give the same. The defaults are the simplest values."""

    program: str
    # The data: rows of a product, inputs of a network and terms of a sum, classes and columns
    rows: int = 1
    inputs: int = 1
    classes: int = 2
    images: bool = False  # uint8
    values: str = "ones"
    magnitude: int = 0  # a power of 10, for numbers other than images
    density: float = 1.0
    zero_rows: bool = False
    zero_columns: bool = False
    weighted: str = ""
    soft: bool = False
    seed: int = 0
    # The network
    hidden: tuple[int, ...] = ()
    activation: str = "identity"
    dropout: float = 0.0
    batch_norm: bool = False
    zero_params: bool = False
    # The options
    scale: float = 1.0
    shift: float = 0.0
    optimizer: str = "sgd"
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    label_smoothing: float = 0.0
    probs_clip: float = 0.0
    clip_norm: float = 0.0
    max_norm: float = 0.0
    ema_decay: float = 0.0
    rate: float = 0.1
    # How it is computed
    batch_size: int = 1
    steps: int = 1
    first_step: int = 0
    used_state: bool = False
    threads: int = 1

    def line(self):
        """The case as JSON, without what is simplest anyway."""
        plain = {field.name: field.default for field in dataclasses.fields(self)}
        values = dataclasses.asdict(self)
        return json.dumps({name: v for name, v in values.items() if v != plain[name]})

    @classmethod
    def from_line(cls, line):
        values = json.loads(line)
        return cls(**values | {"hidden": tuple(values.get("hidden", ()))})


def _size(most):
    """A function that draws a size: at an edge, small, or any."""
    edges = [edge for edge in EDGES if edge <= most]
    return lambda rng: rng.choice((rng.choice(edges), rng.randint(1, 40), rng.randint(1, most)))


_UNITS = _size(300)
# What a value is drawn from: choices, the simplest first, or a function of a random.Random.
DRAWN = {
    "rows": _size(150),
    "inputs": lambda rng: rng.choice((_UNITS(rng), _UNITS(rng), 784)),
    "classes": lambda rng: rng.choice((2, 10, _size(80)(rng))),
    "images": (False, True),
    "values": ("ones", "whole", "normal", "spread"),
    "magnitude": lambda rng: rng.randint(-20, 4),
    "density": (1.0, 0.0, 0.01, 0.05, 0.19, 0.3, 0.5, 0.7, 0.76, 0.9),
    "zero_rows": (False, True),
    "zero_columns": (False, True),
    "weighted": ("", "any", "some are 0", "all are 0"),
    "soft": (False, True),
    "seed": lambda rng: rng.randrange(2**32),
    "hidden": lambda rng: tuple(_UNITS(rng) for _ in range(rng.randint(0, 4))),
    "activation": ("identity", "relu", "tanh", "logistic"),
    "dropout": (0.0, 0.1, 0.5, 0.9),
    "batch_norm": (False, True),
    "zero_params": (False, True),
    "scale": (1.0, 1 / 255, 0.01, -0.5, 1e-6),
    "shift": (0.0, -0.4, 1.0),
    "optimizer": ("sgd", "adam", "adamw"),
    "momentum": (0.0, 0.5, 0.9, 0.99),
    "nesterov": (False, True),
    "weight_decay": (0.0, 0.02, 0.5),
    "label_smoothing": (0.0, 0.1, 0.9),
    "probs_clip": (0.0, 1e-3, 0.3),
    "clip_norm": (0.0, 1e-3, 0.5, 1e6),
    "max_norm": (0.0, 0.1, 1.0, 1e6),
    "ema_decay": (0.0, 0.5, 0.999),
    "rate": (0.1, 0.001, 0.0),
    "batch_size": _size(130),
    "steps": lambda rng: rng.randint(1, 6),
    "first_step": lambda rng: rng.choice((rng.randint(0, 9), 7, 500, 10**6)),
    "used_state": (False, True),
    "threads": (1, 2, 3),
}
# Half of the cases train; the other programs and the kernels share the rest.
PROGRAMS = (*("train_steps",) * 24, *("loss_and_gradient", "forward") * 4, *KERNELS)
# What a case always has: with the simplest values, most of it would be hardly tried.
ALWAYS = ("rows", "inputs", "hidden", "batch_size", "seed", "threads")


def draw(rng):
    """A random case; ``rng`` is a random.Random. Each value is as likely the simplest as not."""
    values = {"program": rng.choice(PROGRAMS)}
    for name, source in DRAWN.items():
        if name in ALWAYS or rng.random() < 0.5:
            values[name] = source(rng) if callable(source) else rng.choice(source)
    return Case(**values)


def simpler(case):
    """Yield cases with one value that is simpler, the simplest first."""
    for field in dataclasses.fields(case)[1:]:
        value = getattr(case, field.name)
        if value == field.default:
            continue
        source = DRAWN[field.name]
        if isinstance(source, tuple):
            found = source[: source.index(value)]
        elif isinstance(value, tuple):
            found = _shorter(value)
        else:
            found = _nearer(field.default, value)
        for other in found:
            yield dataclasses.replace(case, **{field.name: other})


def _nearer(simplest, value):
    """Whole numbers between the simplest and another."""
    gap = value - simplest
    return [simplest, *(value - int(gap / 2**k) for k in range(1, 40) if int(gap / 2**k))]


def _shorter(sizes):
    """Fewer layers, then smaller ones."""
    yield from (sizes[:i] + sizes[i + 1 :] for i in range(len(sizes)))
    for i, size in enumerate(sizes):
        yield from ((*sizes[:i], n, *sizes[i + 1 :]) for n in _nearer(1, size) if n < size)


def network_of(case):
    sizes = (case.inputs, *case.hidden, case.classes)
    rate = case.dropout if case.hidden else 0.0
    return Network(sizes, case.activation, rate, case.batch_norm and case.program != "forward")


def options_of(case):
    spread = case.soft or case.label_smoothing > 0
    return make_options(
        case.optimizer,
        batch_size=case.batch_size,
        momentum=case.momentum,
        nesterov=case.nesterov and case.momentum > 0,
        weight_decay=case.weight_decay,
        scale=case.scale,
        shift=case.shift,
        seed=case.seed,
        epoch=case.seed % 7,
        probs_clip=0.0 if spread else case.probs_clip,
        label_smoothing=case.label_smoothing,
        max_norm=case.max_norm,
        ema_decay=case.ema_decay,
        clip_norm=case.clip_norm,
        norm_momentum=0.1 + case.seed % 3 * 0.3,
        norm_eps=(1e-5, 1e-3)[case.seed % 2],
    )


def record_of(options):
    return Options(*options[0].item())


def numbers(case, rng, *shape):
    """Numbers of the kind that a case asks for."""
    if case.values == "ones":
        values = np.ones(shape)
    elif case.values == "whole":
        values = rng.integers(-8, 9, shape).astype(np.float64)
    else:
        values = rng.normal(size=shape)
        if case.values == "spread":
            values *= 10.0 ** rng.uniform(-6, 2, shape)
    return (values * 10.0**case.magnitude).astype(np.float32)


def inputs_of(case, rng):
    """Rows of inputs (rows, inputs), as dense as the case asks for."""
    shape = case.rows, case.inputs
    if case.images:
        x = np.full(shape, 255) if case.values == "ones" else rng.integers(1, 256, shape)
        x = x.astype(np.uint8)
    else:
        x = numbers(case, rng, *shape)
    x[rng.random(shape) >= case.density] = 0
    if case.zero_rows:
        x[rng.random(case.rows) < 0.5] = 0
    if case.zero_columns:
        x[:, rng.random(case.inputs) < 0.5] = 0
    return x


def targets_of(case, rng):
    """Labels, or rows of probabilities."""
    if not case.soft:
        return rng.integers(0, case.classes, case.rows).astype(np.int32)
    rows = rng.dirichlet(np.full(case.classes, 0.3), case.rows)
    rows[rng.random(rows.shape) < 0.2] = 0
    rows[:, 0] += 0.1
    return (rows / rows.sum(axis=1, keepdims=True)).astype(np.float32)


def weights_of(case, rng):
    """Weights of the samples."""
    if not case.weighted:
        return NONE.copy()
    weights = rng.uniform(0.2, 2, case.rows).astype(np.float32)
    if case.weighted != "any":
        weights[rng.random(case.rows) < (0.7 if case.weighted == "some are 0" else 2)] = 0
    return weights


def problem_of(case):
    """The training job of a case."""
    rng, network, options = np.random.default_rng(case.seed), network_of(case), options_of(case)
    params = network.init(rng)
    params += rng.normal(0, 0.05, params.shape).astype(np.float32)
    if case.zero_params:
        params[rng.random(params.size) < 0.5] = 0
    n = case.steps * case.batch_size - rng.integers(case.batch_size)  # the last may be partial
    problem = Problem(
        network, options, inputs_of(case, rng), targets_of(case, rng),
        rng.integers(0, case.rows, n), case.rate * rng.uniform(0.5, 1, case.steps), params,
        weights_of(case, rng), case.first_step,
    )  # fmt: skip
    if case.used_state:
        problem.state[...] = rng.normal(0, 0.01, problem.state.shape)
        if case.optimizer != "sgd":
            np.square(problem.state[1], out=problem.state[1])
        problem.buffers[...] = rng.uniform(0.1, 2, problem.buffers.shape)
    return problem
