"""What computes on a thread of its own, and tells a feed about it."""

from abc import ABC, abstractmethod
from typing import Any

from ..system.errors import error_words
from ..training.records import NonFiniteLossError
from .background import in_background
from .feed import Feed

OVER = ("finished", "stopped", "failed")
_EXPECTED = (ValueError, TypeError, OSError, ImportError, MemoryError, NonFiniteLossError)


class Activity(ABC):
    """A training or a race.

    Parameters
    ----------
    identifier
        What requests call it.

    Attributes
    ----------
    state
        "compiling" at first; one of :data:`OVER` in the end.
    message
        What went wrong, or what came of it.
    feed
        Its events; one of the kind "state" for each state.
    """

    def __init__(self, identifier: str) -> None:
        self.id = identifier
        self.state, self.message = "compiling", ""
        self.feed = Feed()

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.state in OVER

    def start(self) -> None:
        """Begin."""
        self.enter(self.state)
        in_background(self.id, self._run)

    @abstractmethod
    def stop(self) -> None:
        """End soon."""

    @abstractmethod
    def work(self) -> None:
        """Compute; KeyboardInterrupt means that it was stopped."""

    def enter(self, state: str, message: str = "", **told: Any) -> None:
        """Take on a state, and tell the feed."""
        self.state, self.message = state, message
        event = {"state": state, "message": message, **told}
        self.feed.publish("state", event, last=self.over)

    def _run(self) -> None:
        try:
            self.work()
        except KeyboardInterrupt:
            self.enter("stopped")
        except _EXPECTED as error:
            self.enter("failed", error_words(error))
        except BaseException as error:
            self.enter("failed", f"there is an error in the program ({type(error).__name__})")
            raise
