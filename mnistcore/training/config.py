"""TrainConfig: all options of a training run with their defaults, help texts and limits.

It is the single source for the command line, configuration files and Python. Precedence, from low
to high: defaults, recipe, configuration file, flags.
"""

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..data import absolute
from ..kernels.backends import BACKENDS
from ..kernels.layout import ACTIVATIONS, OPTIMIZERS
from ..models.network import INITIALIZATIONS
from .augmentation import MOST_FACTOR
from .data_options import DataOptions
from .intervals import parse_interval
from .optimizers import LEARNING_RATES
from .options import Range, document_options, option, read_options
from .recipes import COMMON, DEFAULT_RECIPE, RECIPES
from .records import LOGS
from .schedules import SCHEDULES

_POSITIVE = Range(0, open_low=True)
_SHARE = Range(0, 1, open_high=True)  # [0, 1)
_COUNT = Range(1, 10**9)
_UNITS = Range(1, 10**6)


def _from_recipe(name: str, kind: type, help: str, source: str = "recipe", **settings: Any) -> Any:
    """Declare an option that every recipe sets; its default, None, means the recipe's value."""
    default = RECIPES[DEFAULT_RECIPE].settings[name]
    spelled = " ".join(map(str, default)) if isinstance(default, tuple) else default
    spelled = "off" if spelled is False else spelled
    shown = f"{spelled}, or the {source}'s"
    return option(None, kind, help, optional=True, shown_default=shown, **settings)


@document_options
@dataclass(frozen=True, kw_only=True)
class TrainConfig(DataOptions):
    """The options of a training run, checked and complete.

    Options that a recipe sets take its value if they are left out or None, so that
    ``TrainConfig(recipe="tanh-10-10", epochs=3)`` is that recipe for three epochs; the others have
    defaults of their own. An optimizer other than the recipe's has its own default learning rate.
    ``hidden`` and ``dropout`` are converted to tuples.

    Raises
    ------
    TypeError
        If a value has the wrong type.
    ValueError
        If a value is out of range, or two options contradict each other.
    """

    recipe: str = option(
        DEFAULT_RECIPE, str, "named settings to start from", choices=tuple(RECIPES)
    )
    backend: str = option(
        "auto",
        str,
        "kernels to train with; auto is the fastest one here",
        choices=("auto", *BACKENDS),
    )
    hidden: tuple[int, ...] = _from_recipe(
        "hidden",
        int,
        "units of each hidden layer; none for a network without",
        many=True,
        empty="none",
        limits=_UNITS,
        metavar="N",
    )
    activation: str = _from_recipe(
        "activation", str, "activation of the hidden layers", choices=tuple(ACTIVATIONS)
    )
    init: str = option(
        "auto",
        str,
        "initial weights; auto is he for relu, glorot for the others",
        choices=INITIALIZATIONS,
    )
    optimizer: str = _from_recipe("optimizer", str, "update rule", choices=tuple(OPTIMIZERS))
    learning_rate: float = _from_recipe(
        "learning_rate",
        float,
        "largest learning rate",
        "recipe's or the optimizer",
        limits=_POSITIVE,
        metavar="RATE",
    )
    momentum: float = option(0.0, float, "momentum of sgd", limits=_SHARE, metavar="M")
    nesterov: bool = option(False, bool, "Nesterov's momentum, for sgd")
    beta1: float = option(
        0.9, float, "decay of adam's mean of gradients", limits=_SHARE, metavar="B"
    )
    beta2: float = option(
        0.999, float, "decay of adam's mean of squared gradients", limits=_SHARE, metavar="B"
    )
    eps: float = option(
        1e-8, float, "constant in the denominator of adam", limits=_POSITIVE, metavar="EPS"
    )
    schedule: str = _from_recipe(
        "schedule", str, "learning-rate schedule", choices=tuple(SCHEDULES)
    )
    batch_size: int = _from_recipe(
        "batch_size", int, "samples in a mini-batch", limits=_COUNT, metavar="N"
    )
    epochs: int = _from_recipe(
        "epochs", int, "passes over the training images", limits=Range(1, 200_000), metavar="N"
    )
    weight_decay: float = _from_recipe(
        "weight_decay",
        float,
        "L2 penalty on weights, not biases; decoupled in adamw",
        limits=Range(0),
        metavar="DECAY",
    )
    dropout: tuple[float, ...] = _from_recipe(
        "dropout",
        float,
        "share of hidden units dropped: one rate, or one for each hidden layer",
        many=True,
        limits=_SHARE,
        metavar="RATE",
    )
    batch_norm: bool = _from_recipe(
        "batch_norm", bool, "normalise the hidden units over each batch, before their activation"
    )
    label_smoothing: float = _from_recipe(
        "label_smoothing",
        float,
        "share of each target that is spread evenly over all classes",
        limits=_SHARE,
        metavar="SHARE",
    )
    teacher: tuple[str, ...] = option(
        (),
        str,
        "learn from the mean probabilities of trained networks too, run folders or model files",
        many=True,
        empty="none",
        metavar="RUN",
    )
    teacher_temperature: float = option(
        1.0, float, "divides the teachers' logits", limits=_POSITIVE, metavar="T"
    )
    teacher_weight: float = option(
        0.5,
        float,
        "share of the teachers in each target; the rest is the label's",
        limits=Range(0, 1),
        metavar="SHARE",
    )
    ema: float = _from_recipe(
        "ema",
        float,
        "decay per step of an average of the weights, which is what is kept; 0: no average",
        limits=_SHARE,
        metavar="DECAY",
    )
    clip_norm: float = _from_recipe(
        "clip_norm",
        float,
        "largest norm of the gradient as a whole; larger ones shrink to it; 0: no limit",
        limits=Range(0),
        metavar="NORM",
    )
    max_norm: float = _from_recipe(
        "max_norm",
        float,
        "largest norm of the weights into each unit; larger ones shrink to it; 0: no limit",
        limits=Range(0),
        metavar="NORM",
    )
    augment: bool = _from_recipe(
        "augment", bool, "deform the training images anew in each epoch; for square images"
    )
    augment_strength: float = _from_recipe(
        "augment_strength",
        float,
        "multiplies the rotation, shear, scale, shift and bending of deformed images",
        limits=Range(0, MOST_FACTOR),
        metavar="FACTOR",
    )
    augment_fade: float = _from_recipe(
        "augment_fade",
        float,
        "share of the epochs, the last ones, in which the deformations grow weaker, to none",
        limits=Range(0, 1),
        metavar="SHARE",
    )
    adversarial: float = _from_recipe(
        "adversarial",
        float,
        "train on images moved by this norm to confuse the network, too; 0: no such images",
        limits=Range(0, 10**6),
        metavar="RADIUS",
    )
    validation_fraction: float = _from_recipe(
        "validation_fraction",
        float,
        "share of the training images kept for validation; 0 trains on all of them",
        limits=_SHARE,
        metavar="F",
    )
    patience: int | None = option(
        None,
        int,
        "stop after N epochs without a better validation (a higher accuracy, or a lower loss at the"
        " same) and keep the best weights",
        optional=True,
        limits=_COUNT,
        metavar="N",
        shown_default="never stop early",
    )
    standardize: bool = option(
        False, bool, "give pixels mean 0 and variance 1 instead of the range [0, 1]"
    )
    seed: int = option(0, int, "random seed", limits=Range(0, 2**63 - 1), metavar="N")
    threads: int = option(
        0,
        int,
        "maximum threads; 0 is OMP_NUM_THREADS or one per core, for numpy one",
        limits=Range(0, 4096),
        metavar="N",
    )
    log: tuple[str, ...] = option(
        (),
        str,
        "write the metrics into the run folder as metrics.csv and as TensorBoard's events too",
        many=True,
        empty="none",
        choices=LOGS,
    )
    checkpoint_every: str = option(
        "1minutes",
        str,
        "how often to save the state of the run, which --resume goes on from: 5epochs, 2minutes,"
        " 30seconds, or none; unless none, the state is also saved at the end",
        metavar="INTERVAL",
    )
    output: str | None = option(
        None,
        str,
        "new or empty folder for the run",
        optional=True,
        metavar="DIR",
        shown_default="a new one in runs/, named by time",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self._complete_from_recipe()
        parse_interval(self.checkpoint_every)
        self._check_training()
        self._check_network()

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def _complete_from_recipe(self) -> None:
        settings = RECIPES[self.recipe].settings
        if self.learning_rate is None and self.optimizer not in (None, settings["optimizer"]):
            self._set("learning_rate", LEARNING_RATES[self.optimizer])
        for name, value in settings.items():
            if getattr(self, name) is None:
                self._set(name, value)

    def _check_training(self) -> None:
        """Check the options of the optimizer, of validation, of deformed images and of teachers."""
        if self.momentum and self.optimizer != "sgd":
            raise ValueError(f"momentum is for optimizer sgd, not {self.optimizer}")
        for name in ("beta1", "beta2", "eps"):
            if self.optimizer == "sgd" and getattr(self, name) != getattr(TrainConfig, name):
                raise ValueError(f"{name} is for optimizer adam or adamw, not sgd")
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs optimizer sgd with a momentum above 0")
        if self.patience is not None and not self.validation_fraction:
            raise ValueError("patience needs validation: a validation_fraction above 0")
        for name in ("augment_strength", "augment_fade"):
            usual = COMMON[name], RECIPES[self.recipe].settings[name]
            if not self.augment and getattr(self, name) not in usual:
                raise ValueError(f"{name} is for deformed images, and augment is off")
        for name in ("teacher_temperature", "teacher_weight"):
            if not self.teacher and getattr(self, name) != getattr(TrainConfig, name):
                raise ValueError(f"{name} is for a teacher, and there is none")

    def _check_network(self) -> None:
        """Check the options of the hidden layers."""
        if self.batch_norm and not self.hidden:
            raise ValueError("batch_norm is for hidden layers, and hidden is none")
        if self.batch_norm and self.batch_size == 1 and not self.adversarial:
            raise ValueError("batch_norm needs more than one image in a batch; batch_size is 1")
        rates, layers = len(self.dropout), len(self.hidden)
        if any(self.dropout) and not layers:
            raise ValueError("dropout is for hidden layers, and hidden is none")
        if rates not in (1, layers):
            raise ValueError(
                f"dropout takes one rate, or one for each hidden layer ({layers}), got {rates}"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the options by name, for JSON, so that the run can be repeated from any folder.

        ``output`` is left out, paths of data and of teachers are absolute, and classes are named
        one by one.
        """
        values = dataclasses.asdict(self)
        del values["output"]
        values["data"] = absolute(self.data or "auto")
        values["teacher"] = tuple(map(os.path.abspath, self.teacher))
        if self.data_dir is not None:
            values["data_dir"] = os.path.abspath(os.path.expanduser(self.data_dir))
        return values


def given_options(
    flags: Mapping[str, Any], config_file: str | Path | None = None
) -> dict[str, Any]:
    """Return the options given as flags or in a TOML or JSON file; flags win.

    Raises
    ------
    ValueError, OSError
        As :func:`.options.read_options`.
    """
    return {**(read_options(config_file, TrainConfig) if config_file is not None else {}), **flags}
