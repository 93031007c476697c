"""What a training run reports: records, and the listener that receives them."""

from dataclasses import dataclass


class NonFiniteLossError(ArithmeticError):
    """The loss became NaN or infinite; the parameters are those before that step's update."""


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
    """The results of an epoch: a line of ``metrics.jsonl``.

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
    """Is called as a run proceeds. This one does nothing; a display overrides its methods."""

    def preparing(self, backend: str, compiling: bool) -> None:
        """The kernels are about to be loaded or, which takes much longer, to be compiled."""

    def prepared(self) -> None:
        """The kernels are ready; training begins."""

    def slice_done(self, progress: Progress) -> None:
        """A slice of an epoch is done. An exception that this raises ends the run."""

    def epoch_done(self, record: EpochRecord) -> None:
        """An epoch is done, its validation too. An exception that this raises ends the run."""
