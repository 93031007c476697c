"""Multi-layer perceptrons on handwritten digits, from scratch, at the speed of the machine.

===================================  =====================================================
``train(TrainConfig(epochs=3))``     train a network and write its run folder
``load("runs/...").predict(x)``      load a trained network and apply it to images
``load_data()``, ``Dataset``         MNIST, the built-in digits, or data of one's own
``MLPClassifier``, ``MLPRegressor``  scikit-learn's estimators on these kernels
``get_backend("numba")``             the kernels themselves, as functions on arrays
===================================  =====================================================

Every command of the shell is a module that can be called: ``mnistcore.evaluate("runs/...")`` is
``mnistcore.evaluate.run("runs/...")`` and does what ``mnistcore evaluate runs/...`` shows.

Importing this package loads neither a compiler nor plotting libraries. Most names are imported on
first use; the estimators need scikit-learn.
"""

from typing import TYPE_CHECKING, Any

from .system import interrupt

if interrupt.starts_command():
    interrupt.leave_to_system()

from .kernels.backends import BackendUnavailableError, available_backends, get_backend
from .kernels.threads import get_num_threads, set_num_threads
from .system import version

if TYPE_CHECKING:
    from .baselines import run as baselines
    from .convert import run as convert
    from .data import Dataset, load_data
    from .evaluate import run as evaluate
    from .export import run as export
    from .gradcheck import run as gradcheck
    from .info import run as info
    from .ladder import run as ladder
    from .models.checkpoint import load
    from .models.ensemble import Ensemble
    from .models.model import Model
    from .predict import run as predict
    from .report import ReportConfig
    from .report import run as report
    from .runs.scores import EvaluateConfig
    from .search import SearchConfig
    from .search import run as search
    from .serve import ServeConfig
    from .serve import run as serve
    from .sklearn import MLPClassifier as MLPClassifier
    from .sklearn import MLPRegressor as MLPRegressor
    from .train import run as train
    from .training.config import TrainConfig

__version__ = version.VERSION

# Without the estimators: a star import must work without scikit-learn.
__all__ = [
    "BackendUnavailableError",
    "Dataset",
    "Ensemble",
    "EvaluateConfig",
    "Model",
    "ReportConfig",
    "SearchConfig",
    "ServeConfig",
    "TrainConfig",
    "__version__",
    "available_backends",
    "baselines",
    "convert",
    "evaluate",
    "export",
    "get_backend",
    "get_num_threads",
    "gradcheck",
    "info",
    "ladder",
    "load",
    "load_data",
    "predict",
    "report",
    "search",
    "serve",
    "set_num_threads",
    "train",
]

# Names that are imported on first use, and the modules that define them.
_HOMES = {
    "Dataset": "data",
    "Ensemble": "models.ensemble",
    "EvaluateConfig": "runs.scores",
    "MLPClassifier": "sklearn",
    "MLPRegressor": "sklearn",
    "Model": "models.model",
    "ReportConfig": "report",
    "SearchConfig": "search",
    "ServeConfig": "serve",
    "TrainConfig": "training.config",
    "load": "models.checkpoint",
    "load_data": "data",
}
_COMMANDS = (
    *("baselines", "convert", "evaluate", "export", "gradcheck", "info", "ladder"),
    *("predict", "report", "search", "serve", "train"),
)

if not TYPE_CHECKING:  # a type checker would accept any name

    def __getattr__(name: str) -> Any:
        """Import a name on first use."""
        from importlib import import_module

        if name in _COMMANDS:
            return import_module(f".{name}", __name__)
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        """List the names of the package, but no estimators without scikit-learn."""
        from importlib.util import find_spec

        names = {*globals(), *_HOMES, *_COMMANDS}
        if find_spec("sklearn") is None:
            names -= {name for name, home in _HOMES.items() if home == "sklearn"}
        return sorted(names)
