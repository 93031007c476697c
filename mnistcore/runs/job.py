"""What a training run needs before it starts: its options checked, its data and teachers loaded.

:mod:`.execution` runs it, :mod:`.resuming` prepares a run that goes on.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from ..data import Dataset
from ..data.preprocess import flatten, input_scaling
from ..kernels.backends import get_backend
from ..kernels.blas import limited
from ..models.model import TrainedOn
from ..models.network import Network
from ..system.machine import library_versions
from ..training.augmentation import check_images, faded, make_augmentation
from ..training.config import TrainConfig
from ..training.loop import Trainer
from ..training.optimizers import make_options
from ..training.schedules import learning_rates
from .checkpoints import Past
from .folder import check_output
from .logs import check_logs
from .teachers import SoftTargets, Teacher, load_teachers

_INIT_STREAM = 2  # initial weights use their own random stream, independent of all others


@dataclass(frozen=True, eq=False)
class Job:
    """A run that is ready to start: its options are checked and its data is loaded.

    Attributes
    ----------
    config
        The options.
    kernels
        The backend's module.
    dataset
        The images and labels.
    network
        The network, with the input and output sizes of the data.
    train_indices, validation_indices
        Indices of the training images used for training and for validation, (N,) int64.
    scale, shift
        A raw pixel enters the network as ``pixel * scale + shift``.
    began
        The time at which preparation began, as ``time.perf_counter`` gives it.
    teachers
        The networks to learn from, in addition to the labels.
    past
        The run to go on with; None for a new one.
    """

    config: TrainConfig
    kernels: ModuleType
    dataset: Dataset
    network: Network
    train_indices: np.ndarray
    validation_indices: np.ndarray
    scale: float
    shift: float
    began: float
    teachers: tuple[Teacher, ...]
    past: Past | None = None

    def __post_init__(self) -> None:
        # Moved images are normalised together with those that they were made of.
        normalises = self.network.batch_norm and not self.config.adversarial
        if normalises and len(self.train_indices) == 1:
            raise ValueError("batch_norm needs more than one image to train on, and there is one")

    @property
    def backend(self) -> str:
        """The name of the backend, never "auto"."""
        name: str = self.kernels.NAME
        return name

    @property
    def notices(self) -> tuple[str, ...]:
        """What the user should know about the data, and about a run that goes on."""
        found = [*self.dataset.notices, *(self.past.notices if self.past else ())]
        if self.config.augment and self.dataset.has_dark_ink:
            found.append(
                f"The images of {self.dataset.name} have dark ink, and augment moves in zeros at"
                " their rims, as is right for light ink: invert them."
            )
        for teacher in self.teachers:
            known = teacher.model.data
            if known is not None and known.checksum != self.dataset.checksum:
                found.append(
                    f"The teacher {teacher.path} was trained on other data ({known.name})."
                )
        return tuple(found)

    @property
    def total_seconds(self) -> float:
        """The time from the beginning of preparation until now, and that of the past run."""
        return time.perf_counter() - self.began + (self.past.seconds if self.past else 0.0)


def prepare(
    config: TrainConfig,
    dataset: Dataset | None = None,
    progress: bool = False,
    past: Past | None = None,
    writes: bool = True,
) -> Job:
    """Check and load everything that a run needs, so that it cannot fail on its input.

    ``progress`` shows a progress bar for downloads; ``past`` is the run to go on with. A run that
    ``writes`` no files needs no folder for them. Raises as :func:`.execution.run`, except for the
    last two errors.
    """
    began = time.perf_counter()
    if past is None and writes:
        check_output(config.output)
    check_logs(config.log)
    kernels = get_backend(config.backend)
    with limited(kernels.NAME, config.threads):
        kernels.begin_compiling()
    if dataset is None:
        dataset = config.load(progress)
    for part, labels in (("training", dataset.train_labels), ("test", dataset.test_labels)):
        if not len(labels):
            raise ValueError(f"{dataset.name} has no {part} images")
    if config.augment:
        check_images(dataset.train_images)
    train_indices, validation_indices = dataset.split(config.validation_fraction, config.seed)
    scale, shift = input_scaling(dataset.train_images, config.standardize, dataset.pixel_max)
    n_inputs = int(np.prod(dataset.train_images.shape[1:]))
    dropout = config.dropout[0] if len(config.dropout) == 1 else config.dropout
    sizes = (n_inputs, *config.hidden, len(dataset.class_names))
    network = Network(sizes, config.activation, dropout, config.batch_norm)
    return Job(
        config, kernels, dataset, network, train_indices, validation_indices,
        scale, shift, began, load_teachers(config.teacher, dataset), past,
    )  # fmt: skip


def engine_options(job: Job) -> np.ndarray:
    """Return the options that ``train_steps`` takes."""
    config = job.config
    return make_options(
        config.optimizer,
        batch_size=config.batch_size,
        momentum=config.momentum,
        nesterov=config.nesterov,
        beta1=config.beta1,
        beta2=config.beta2,
        eps=config.eps,
        weight_decay=config.weight_decay,
        scale=job.scale,
        shift=job.shift,
        seed=config.seed,
        label_smoothing=config.label_smoothing,
        max_norm=config.max_norm,
        ema_decay=config.ema,
        clip_norm=config.clip_norm,
    )


def make_trainer(job: Job, check: Callable[[], None]) -> Trainer:
    """Return what trains the job's network; ``check`` is called between slices of training."""
    config = job.config
    total_steps = config.epochs * -(-len(job.train_indices) // config.batch_size)

    def rates(first_step: int, steps: int) -> np.ndarray:
        rate = config.learning_rate
        return learning_rates(config.schedule, rate, first_step, steps, total_steps)

    deformations = make_augmentation(config.augment_strength)

    def strengths(epoch: int) -> np.ndarray:
        return faded(deformations, config.augment_fade, epoch, config.epochs)

    x, targets, retarget = flatten(job.dataset.train_images), job.dataset.train_labels, None
    if job.teachers:
        how = config.teacher_temperature, config.teacher_weight
        soft = SoftTargets(job.teachers, job.kernels, job.dataset, *how)
        targets, retarget = soft.rows, soft.write
    rng = np.random.default_rng(np.random.SeedSequence(config.seed, spawn_key=(_INIT_STREAM,)))
    return Trainer(
        job.kernels,
        job.network,
        job.network.init(rng, config.init),
        x,
        targets,
        job.train_indices,
        engine_options(job),
        rates,
        check,
        strengths if config.augment else None,
        config.adversarial,
        retarget,
    )


def describe(job: Job) -> dict[str, Any]:
    """Return what is trained, and on what, for checkpoints; and the time it has taken so far."""
    versions = {**library_versions(job.backend), "instruction set": job.kernels.INSTRUCTION_SET}
    return {
        "config": job.config.to_dict(),
        "backend": job.backend,
        "data": {
            **TrainedOn.of(job.dataset).to_dict(),
            "classes": list(job.dataset.class_names),
        },
        "teachers": [teacher.checksum for teacher in job.teachers],
        "versions": versions,
        "total_seconds": job.total_seconds,
    }
