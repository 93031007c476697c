"""The data that the page trains on, loaded once, when it is first wanted."""

import threading
from contextlib import suppress
from typing import Any

from ..data import Dataset
from .background import in_background
from .config import ServeConfig


class TrainingData:
    """Loads the data that the options of the server name.

    Parameters
    ----------
    config
        The options.
    """

    def __init__(self, config: ServeConfig) -> None:
        self._config, self._lock = config, threading.Lock()
        self._loaded: Dataset | None = None
        self._begun = False

    def load(self) -> Dataset:
        """Return the data, once it is loaded; raises as :meth:`.DataOptions.load`."""
        with self._lock:
            if self._loaded is None:
                self._loaded = self._config.load()
            return self._loaded

    def begin(self) -> None:
        """Load the data in the background."""
        if not self._begun:
            self._begun = True
            in_background("data", self._try)

    def _try(self) -> None:
        with suppress(ValueError, OSError, ImportError):  # a training that wants it will say why
            self.load()

    def describe(self) -> dict[str, Any] | None:
        """Return the name and the sizes; None before it is loaded."""
        data = self._loaded
        if data is None:
            return None
        return {
            "name": data.name,
            "train": len(data.train_labels),
            "test": len(data.test_labels),
            "image_shape": list(data.train_images.shape[1:]),
            "classes": list(data.class_names),
        }
