"""What a training run reports: records, and the listener that receives them."""

from dataclasses import dataclass

# What metrics can be written as, beside metrics.jsonl.
LOGS = ("csv", "tensorboard")


class NonFiniteLossError(ArithmeticError):
    """A loss, or what it is made of, is NaN or infinite: training diverged."""


@dataclass(frozen=True)
class Progress:
    """The progress of an epoch; loss and accuracy are means over its samples so far."""

    epoch: int
    samples_done: int
    samples: int
    loss: float
    accuracy: float
    samples_per_second: float


@dataclass(frozen=True)
class EpochRecord:
    """The results of an epoch: a line of ``metrics.jsonl``.

    Training loss and accuracy are means over the epoch, with each batch measured before its
    update; ``learning_rate`` is that of the last step, ``seconds`` the time of training alone.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None
    learning_rate: float
    seconds: float


class Listener:
    """The callbacks of a run. These do nothing; a display overrides them."""

    def preparing(self, backend: str, compiling: bool) -> None:
        """Handle the start of loading the kernels, or of compiling them, which takes longer."""

    def compiling(self, what: str) -> None:
        """Handle the start of compiling a part of the kernels."""

    def prepared(self) -> None:
        """Handle the start of training, once the kernels are ready."""

    def slice_done(self, progress: Progress) -> None:
        """Handle the end of a slice. An exception raised here ends the run."""

    def epoch_done(self, record: EpochRecord) -> None:
        """Handle the end of an epoch and its validation. An exception raised here ends the run."""
