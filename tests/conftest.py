"""Fixtures that the whole suite shares."""

import contextlib
import importlib
import importlib.util
import os
import shutil
import signal
from pathlib import Path

import pytest
from small_digits import write_small_digits

from mnistcore.kernels.backends import BACKENDS, get_backend, unavailable_reason
from mnistcore.kernels.threads import set_num_threads

PROGRAMS = ("g++", "avr-gcc", "arm-none-eabi-gcc", "simavr", "chromium")

# OMP_NUM_THREADS limits our threads too, and many tests are about several. BLAS, which has read the
# variable by now, keeps to it, also in new processes.
if "OMP_NUM_THREADS" in os.environ:
    os.environ.setdefault("OPENBLAS_NUM_THREADS", os.environ.pop("OMP_NUM_THREADS"))

# A shell starts what runs in the background with Ctrl-C ignored, also in the processes that it
# starts, and tests of Ctrl-C would wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# So does nohup with the end of the terminal.
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_addoption(parser):
    parser.addoption(
        "--require-backends",
        default="",
        metavar="NAMES",
        help="fail, rather than skip, where one of these backends (comma-separated) is missing",
    )
    parser.addoption(
        "--require-consumers",
        default="",
        metavar="NAMES",
        help="fail, rather than skip, where one of these libraries or programs is missing"
        " (comma-separated): onnxruntime, skl2onnx, torch, keras, cc, g++, avr-gcc, simavr,"
        " arm-none-eabi-gcc, playwright, axe_playwright_python, chromium",
    )


@pytest.fixture(autouse=True)
def _no_cap_stays():
    """The tests that run next in this process have all threads."""
    yield
    set_num_threads(0)


@pytest.fixture(params=BACKENDS)
def kernels(request):
    """Each backend's module in turn; a missing one skips with its reason, or fails in CI."""
    return load_backend(request.param, request.config)


@pytest.fixture(params=[name for name in BACKENDS if name != "numpy"])
def compiled(request):
    """Each compiled backend in turn."""
    return load_backend(request.param, request.config)


def load_backend(name, config):
    reason = unavailable_reason(name)
    if reason is None:
        return get_backend(name)
    if name in config.getoption("--require-backends").split(","):
        pytest.fail(reason)
    return pytest.skip(reason)


@pytest.fixture(scope="session")
def consumer(request):
    """A function that imports a library, or finds a program, or skips, or fails in CI."""

    def find(name):
        if name == "cc":
            found = shutil.which("gcc") or shutil.which("cc")
        elif name in PROGRAMS:
            found = shutil.which(name)
        elif name == "keras":  # imported only by processes of its own, which choose its backend
            found = importlib.util.find_spec(name)
        else:
            with contextlib.suppress(ImportError):
                return importlib.import_module(name)
            found = None
        if found is None and name in request.config.getoption("--require-consumers").split(","):
            pytest.fail(f"{name} is missing")
        return found or pytest.skip(f"{name} is not installed")

    return find


@pytest.fixture(scope="session")
def mnist_dir():
    """The folder of the real MNIST, from $MNISTCORE_DATA_DIR; tests on it skip without."""
    folder = os.environ.get("MNISTCORE_DATA_DIR")
    if not folder or not any(Path(folder).glob("train-images*")):
        pytest.skip("set MNISTCORE_DATA_DIR to the folder with MNIST's four IDX files")
    return Path(folder)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty working folder with the small data set in ../data and a cache of its own."""
    monkeypatch.setenv("MNISTCORE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("MNISTCORE_DATA_DIR", raising=False)
    write_small_digits(tmp_path / "data")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"
