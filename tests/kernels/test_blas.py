"""The threads of NumPy's BLAS: limited while the NumPy backend computes, and restored."""

import threading

import numpy as np
import pytest
from small_digits import small_digits
from threadpoolctl import ThreadpoolController, threadpool_limits

from mnistcore import get_num_threads
from mnistcore.evaluate import EvaluateConfig
from mnistcore.evaluate import run as evaluate
from mnistcore.kernels import blas
from mnistcore.train import TrainConfig, run
from mnistcore.training.records import Listener


def blas_threads():
    infos = ThreadpoolController().select(user_api="blas").info()
    counts = [info["num_threads"] for info in infos if "numpy" in info["filepath"]]
    return counts[0] if counts else pytest.skip("a BLAS whose threads cannot be set")


@pytest.fixture(autouse=True)
def several(monkeypatch):
    """BLAS has three threads and no variable names a number."""
    for name in blas.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    with threadpool_limits(3, "blas"):
        yield


@pytest.mark.parametrize(
    ("variables", "n", "count"),
    [
        ({}, 0, 1),
        ({}, 2, 2),
        ({"OPENBLAS_NUM_THREADS": "2"}, 0, 2),
        ({"OMP_NUM_THREADS": "2,1"}, 0, 2),
        ({"OMP_NUM_THREADS": "4"}, 1, 1),
        ({"OMP_NUM_THREADS": "none"}, 0, 1),
    ],
)
def test_the_numpy_backend_has_one_thread_or_what_it_is_told(monkeypatch, variables, n, count):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert blas.threads_of("numpy", n) == count
    with blas.limited("numpy", n):
        assert blas_threads() == count
    assert blas_threads() == 3


def test_the_limit_of_blas_is_none_of_the_compiled_kernels():
    before = get_num_threads()
    with blas.limited("numpy", before + 1), blas.limited("numpy", 1):
        assert get_num_threads() == before


def test_it_is_restored_after_an_error():
    with blas.limited("numpy", 2):
        with pytest.raises(KeyError), blas.limited("numpy", 1):
            raise KeyError
        assert blas_threads() == 2
    assert blas_threads() == 3


def test_callers_on_several_threads_leave_it_as_it_was():
    def use(n):
        for _ in range(20):
            with blas.limited("numpy", n):
                pass

    callers = [threading.Thread(target=use, args=(n,)) for n in (1, 2)]
    for caller in callers:
        caller.start()
    use(1)
    for caller in callers:
        caller.join()
    assert blas_threads() == 3


def test_the_compiled_backends_leave_blas_alone():
    with blas.limited("cython", 1):
        assert (blas_threads(), get_num_threads()) == (3, 1)
    assert blas.threads_of("cython", 1) == 1
    for backend in ("numpy", "cython"):
        with pytest.raises(ValueError, match="negative"):
            blas.limited(backend, -1)


class _Look(Listener):
    def __init__(self):
        self.seen = set()

    def slice_done(self, progress):
        self.seen.add(blas_threads())


@pytest.mark.parametrize(("n", "count"), [(0, 1), (2, 2)])
def test_a_run_is_limited(tmp_path, n, count):
    look, dataset = _Look(), small_digits(tmp_path / "data")
    options = {"backend": "numpy", "hidden": 8, "epochs": 1, "threads": n}
    config = TrainConfig(output=str(tmp_path / "run"), **options)
    result = run(config, dataset=dataset, listener=look)
    assert look.seen == {count}
    assert result.summary["threads"] == count
    evaluate(tmp_path / "run", EvaluateConfig(backend="numpy", threads=n), dataset=dataset)
    assert blas_threads() == 3


@pytest.mark.parametrize(("n", "count"), [(None, 1), (2, 2)])
def test_an_estimator_is_limited(n, count):
    sklearn = pytest.importorskip("mnistcore.sklearn", exc_type=ImportError)
    seen = set()
    x = np.random.default_rng(0).random((40, 6), np.float32)
    sklearn.MLPClassifier(
        (5,), backend="numpy", max_iter=1, n_threads=n,
        callbacks=lambda *_: seen.add(blas_threads()),
    ).fit(x, np.arange(40) % 2)  # fmt: skip
    assert seen == {count}
    assert blas_threads() == 3
