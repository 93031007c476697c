"""The examples in the docstrings of the public functions run and give what they say."""

import doctest
import inspect
import sys

import pytest

import mnistcore
from mnistcore.data import load_data, read_idx, write_idx
from mnistcore.kernels import numpy_kernels
from mnistcore.models.checkpoint import save
from mnistcore.models.network import Network
from mnistcore.runs.folder import load_run
from mnistcore.train import resume

# What these need is not always installed; the examples of all else run on the base installation.
NEEDS = {"search": "optuna", "baselines": "sklearn", "MLPClassifier": "sklearn"}
NEEDS |= {"MLPClassifier.fit": "sklearn", "MLPRegressor": "sklearn"}
PUBLIC = [
    "available_backends", "baselines", "convert", "Dataset", "Ensemble", "evaluate", "export",
    "get_backend", "get_num_threads", "gradcheck", "load", "load_data", "MLPClassifier",
    "MLPClassifier.fit", "MLPRegressor", "Model.predict", "Model.predict_proba", "predict",
    "report", "search", "set_num_threads", "train",
]  # fmt: skip
SLOW = ("report", "search")
OTHERS = [load_run, resume, save, Network, read_idx, write_idx]
KERNELS = ["matmul", "softmax", "softmax_cross_entropy", "sgd_update"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a run on the built-in digits, ``runs/first``, which the examples use."""
    folder = tmp_path_factory.mktemp("examples")
    config = mnistcore.TrainConfig(
        data="synthetic", epochs=1, backend="numpy", output=str(folder / "runs" / "first")
    )
    mnistcore.train(config)
    return folder


def named(name):
    """A public name; of a command, its function."""
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    found = mnistcore
    for part in name.split("."):
        found = getattr(found, part)
    return found.run if inspect.ismodule(found) else found


@pytest.mark.parametrize(
    "found",
    [
        *(pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in PUBLIC),
        *OTHERS,
        *(getattr(numpy_kernels, name) for name in KERNELS),
    ],
    ids=lambda found: getattr(found, "__name__", found),
)
def test_the_example_is_right(found, place, monkeypatch):
    monkeypatch.chdir(place)
    if found in SLOW:  # no figure is drawn, which takes most of the time; others are about them
        monkeypatch.setattr("mnistcore.figures.style.encode", lambda figure, kind: b"")
    found = named(found) if isinstance(found, str) else found
    module = sys.modules[found.__module__]
    finder = doctest.DocTestFinder(recurse=False)
    (test,) = finder.find(found, found.__qualname__, module, globs={})
    assert test.examples
    printed = []
    result = doctest.DocTestRunner().run(test, out=printed.append)
    assert not result.failed, "".join(printed)


@pytest.mark.parametrize("name", PUBLIC)
def test_the_docstring_says_what_comes_back(name):
    found = named(name)
    if inspect.isclass(found) or name == "set_num_threads":  # which return nothing
        return
    assert any(f"{title}\n" in inspect.getdoc(found) for title in ("Returns", "Yields"))


def test_a_wrong_example_is_found():
    def wrong():
        """
        >>> 1 + 1
        3
        """

    (test,) = doctest.DocTestFinder().find(wrong, "wrong", globs={})
    assert doctest.DocTestRunner(verbose=False).run(test, out=lambda text: None).failed == 1


def test_no_public_function_is_left_out():
    """Functions and classes have an example, except options, errors and what prints or serves."""
    left = set(mnistcore.__all__) - {name.partition(".")[0] for name in PUBLIC}
    known = {"BackendUnavailableError", "__version__", "info", "ladder", "serve"}
    assert left == known | {name for name in mnistcore.__all__ if name.endswith("Config")}
    assert load_data is mnistcore.load_data
