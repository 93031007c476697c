"""What a training run tells as it goes: records, and the listener that is told of them."""

from dataclasses import dataclass


class NonFiniteLossError(ArithmeticError):
    """The loss became NaN or infinite; the update that it would have made was not made."""


@dataclass(frozen=True)
class Progress:
    """How far an epoch has come; loss and accuracy are means over its samples so far."""

    epoch: int
    samples_done: int
    samples: int
    loss: float
    accuracy: float
    samples_per_second: float


@dataclass(frozen=True)
class EpochRecord:
    """What an epoch came to: a line of ``metrics.jsonl``.

    Training loss and accuracy are running means over the epoch, each batch before its update;
    ``learning_rate`` is that of the epoch's last step, ``seconds`` the time of training alone.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None
    learning_rate: float
    seconds: float


class Listener:
    """Is told what happens in a run. This one keeps silent; a display overrides its methods."""

    def preparing(self, backend: str, compiling: bool) -> None:
        """The kernels are about to be loaded, or to be compiled, which takes long."""

    def prepared(self) -> None:
        """They are; training begins."""

    def slice_done(self, progress: Progress) -> None:
        """A slice of an epoch is done. What is raised here ends the run."""

    def epoch_done(self, record: EpochRecord) -> None:
        """An epoch is done, its validation too. What is raised here ends the run."""
