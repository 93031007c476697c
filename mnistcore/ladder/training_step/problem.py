"""What is trained, and what each step of the ladder teaches."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ...kernels import numpy_kernels
from ...kernels.backends import available_backends, get_backend
from ...kernels.layout import METRICS
from ...models.network import Network
from ...training.optimizers import make_options
from ..images import draw_images
from ..step import Expected, Ladder, Lesson, Special
from .arguments import Arguments

HIDDEN, CLASSES = (128, 64), 10
RATE = 0.01


def network_of(inputs: int) -> Network:
    """Return the network that is trained."""
    return Network((inputs, *HIDDEN, CLASSES))


def draw(shape: Sequence[int], rng: np.random.Generator) -> Arguments:
    """Return what ``train_steps`` takes, for one pass over the images in random order."""
    steps, inputs, batch = shape
    samples = steps * batch
    network = network_of(inputs)
    params = network.init(rng)
    params += rng.normal(0, 0.01, params.shape)  # biases that are not 0, so that they count
    return Arguments(
        x=draw_images(samples, inputs, rng),
        targets=rng.integers(0, CLASSES, samples, np.int32),
        sample_weight=np.empty(0, np.float32),
        order=rng.permutation(samples),
        learning_rates=np.full(steps, RATE),
        layers=network.layers(),
        options=make_options("sgd", batch_size=batch, scale=1 / 255),
        first_step=0,
        params=params,
        state=np.empty((0, network.n_params), np.float32),
        buffers=np.empty(0, np.float32),
        workspace=np.full(workspace_size(network, batch), np.nan, np.float32),
        metrics=np.zeros(METRICS),
    )


def workspace_size(network: Network, batch: int) -> int:
    """Return a size that is enough for the training program of every backend."""
    backends = [get_backend(name) for name in available_backends()]
    return max(kernels.workspace_size(network.layers(), batch, 0) for kernels in backends)


def expected(*arguments: Any) -> Mapping[str, Expected]:
    """Return the parameters and metrics after training in float64, and the number of steps.

    The bound for a parameter is a thousandth of the largest change, and what rounding a parameter
    to float32 in every step may add up to. Among many samples there are a few near a tie: a unit
    that is 0 but for rounding lets a gradient pass or not, and two classes are equally likely.
    """
    given = Arguments(*arguments)
    params, metrics = given.params.astype(np.float64), given.metrics.copy()
    exact = given._replace(
        x=given.x if given.x.dtype == np.uint8 else given.x.astype(np.float64),
        first_step=int(given.first_step),
        sample_weight=given.sample_weight.astype(np.float64),
        params=params,
        state=given.state.astype(np.float64),
        buffers=given.buffers.astype(np.float64),
        workspace=np.empty(0),
        metrics=metrics,
    )
    done = numpy_kernels.train_steps(*exact)
    change = np.abs(params - given.params).max(initial=0.0)
    rounding = done * np.finfo(np.float32).eps * np.abs(params)
    loss, samples = metrics[0], len(given.order)
    near_ties = (samples + 850) // 1000
    one_unit = 0.5 * given.learning_rates.max(initial=0.0) / int(given.options["batch_size"][0])
    return {
        "params": Expected(params, 1e-3 * change + rounding + near_ties * one_unit),
        "metrics": Expected(metrics, np.array([1e-5 * loss, 0, near_ties])),
        "result": Expected(np.array(done), 0.0),
    }


def special(rng: np.random.Generator) -> Iterable[Special]:
    """Return images without a zero, images of nothing else, and images of float32."""
    shape = (2, 65, 8)
    for words, least, most, kind in (
        ("with images that have no zeros", 1, 255, np.uint8),
        ("with images that are all zero", 0, 0, np.uint8),
        ("with images of float32", 0, 255, np.float32),
    ):
        drawn = draw(shape, rng)
        drawn = drawn._replace(x=drawn.x.clip(least, most).astype(kind))
        yield Special(shape, words, drawn, expected(*drawn))


def work(shape: Sequence[int]) -> float:
    """Return the operations of the products, also of those with zeros that a step leaves out."""
    steps, inputs, batch = shape
    return float(steps * batch * network_of(inputs).flops_per_sample)


def moved(shape: Sequence[int]) -> float:
    """Return the bytes of the images, their labels, and the parameters, read and written once."""
    steps, inputs, batch = shape
    return float(steps * batch * (inputs + 4) + 8 * network_of(inputs).n_params)


_LESSONS = (
    Lesson(
        "python lists",
        idea="A training step in lists and numbers: forward through three layers, softmax, the"
        " gradients backward, and a little downhill.",
        why="It is the slow end. A training step of a batch of 64 is 29 million operations, nearly"
        " all of them in eight matrix products, and Python takes tens of nanoseconds for each.",
        expect="A second or two for a batch of 64 images. An epoch of MNIST has 938 batches.",
        read="Nielsen, Neural Networks and Deep Learning (2015), chapter 2",
    ),
    Lesson(
        "naive products",
        idea="The eight products go to three compiled loops, the first compiled step of the ladder"
        " matmul; NumPy does the rest.",
        why="The products were all of the time. Amdahl's law: speed up the part that takes 99 % of"
        " it, and nothing else has to be touched.",
        expect="About a hundred times the speed, as for the product alone.",
        read="Amdahl, Validity of the Single Processor Approach, AFIPS (1967)",
    ),
    Lesson(
        "loop order",
        idea="Another product is handed to the same code: that whose inner loop runs along rows.",
        why="Vectors instead of single numbers, and whole cache lines: see the ladder matmul.",
        expect="Five to twenty times the speed; less than for the product alone, because what is"
        " not a product begins to count.",
        read="mnistcore, docs/ladder/matmul.md",
    ),
    Lesson(
        "kernel by kernel",
        idea="All of the work goes to the kernels of the backend, called one after the other from"
        " Python: 26 calls for three layers.",
        why="The products keep their sums in registers, and the transposed ones read their operand"
        " as it lies in memory, where the step before made a copy.",
        expect="The speed of NumPy, which works in this way too; each calls about as many"
        " functions for a batch.",
        read="mnistcore, the contract in mnistcore/kernels/__init__.py",
    ),
    Lesson(
        "compiled step",
        idea="One call makes the whole training step: the same kernels call each other in compiled"
        " code, and no zeros are left out yet.",
        why="Between two kernels Python checks arguments and makes arrays, a microsecond or more"
        " each time. And results no longer pass through memory: a tile of a product gets its bias"
        " and its ReLU, and a tile of a gradient changes its weights, while it is in registers or"
        " the L1 cache. No gradient is ever written.",
        expect="Half as fast again, and more for a smaller network.",
        read="Williams, Waterman and Patterson, Roofline, Communications of the ACM 52 (2009)",
    ),
    Lesson(
        "compiled epoch",
        idea="One call makes all the steps: the program loops over the batches, not Python.",
        why="The weights lie in panels, as the products want them. A call packs them at its start"
        " and unpacks them at its end: 109,386 numbers each way, as many as a batch of 64 images"
        " has pixels twice over. Now that happens once for all steps.",
        expect="A fifth to a half more at a batch of 64, and several times the speed at a batch of"
        " 8, where a step has less work to hide it behind.",
        read="mnistcore, docs/architecture.md",
        shape=(100, 784, 8),
    ),
    Lesson(
        "zeros left out",
        idea="What is multiplied by a pixel that is zero is left out, and so is what a ReLU has"
        " set to zero.",
        why="81 % of MNIST's pixels are zero, and a term that is zero changes no sum. The gather"
        " notes one bit for each pixel; the bits of an image select rows of the weights, and the"
        " bits of a pixel, across the batch, select rows of the gradient. The first layer makes"
        " nearly nine tenths of the work.",
        expect="Two to three times the speed, and the rate can exceed the peak: it counts the"
        " operations of the dense step, not those that are left.",
        read="Gale et al., Sparse GPU Kernels for Deep Learning, SC (2020)",
    ),
    Lesson(
        "threads",
        idea="All cores make each step together: the program that trains in mnistcore.",
        why="A batch is too short to start threads for it: half a millisecond, where waking one"
        " takes a tenth of that. So the threads stay for all steps and meet at barriers of less"
        " than a microsecond, a few in a step.",
        expect="Half as fast again on two cores that are free, nothing where other programs use"
        " them.",
        read="mnistcore, docs/speed.md",
        threaded=True,
    ),
)

LESSONS = {lesson.name: lesson for lesson in _LESSONS}

EDGES = (
    (1, 1, 1), (1, 784, 3), (3, 9, 1), (5, 31, 2), (2, 65, 8), (3, 150, 7), (2, 40, 65), (0, 5, 3),
)  # fmt: skip

LADDER = Ladder(
    name="step",
    title="training 784-128-64-10, a step after the other",
    arguments=Arguments._fields,
    outputs=("params", "state", "buffers", "workspace", "metrics"),
    sizes=("steps", "inputs", "batch"),
    shape=(20, 784, 64),
    quick=(10, 784, 16),
    draw=draw,
    expected=expected,
    work=work,
    unit="GFLOP/s",
    lessons=_LESSONS,
    edges=EDGES,
    special=special,
    other=moved,
)
