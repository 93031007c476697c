"""The disk cache of the Numba backend: processes that start at once where nothing is compiled."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from problems import UNCOMPILED

from mnistcore.kernels import numpy_kernels
from mnistcore.models.network import Network
from mnistcore.training.optimizers import make_options, make_state

FOLDERS = [str(folder) for folder in Path(__file__).parents[:2]]  # of the modules that tests import

pytestmark = pytest.mark.slow

pytest.importorskip("numba")

UNITS = 128  # enough for panels of the greatest width, whose functions are compiled beforehand

# With two cores to use, wherever the test runs. It prints the helpers' process numbers and what
# this process compiles.
COMPILING = """
import os
import signal
import sys
sys.path[:0] = {folders!r}
from test_numba_cache import train_one_step, trained
from mnistcore.kernels import numba_kernels
from mnistcore.kernels._numba import programs
programs.available_cores = programs.get_num_threads = lambda: 2
start = programs._start_helper
def start_and_tell(*args):
    helper = start(*args)
    print("helper", helper.pid, flush=True)
    {then}
    return helper
programs._start_helper = start_and_tell
numba_kernels.begin_compiling()
numba_kernels.compile_programs(lambda text: print("compiling", text, flush=True))
assert numba_kernels.compiled()
train_one_step(numba_kernels)
print("predictions", trained(numba_kernels), flush=True)
from pathlib import Path
from mnistcore.kernels._numba.cache import CACHE_FOLDER
print("files", len(list(Path(CACHE_FOLDER).rglob("*.nbc"))), flush=True)
"""


def trained(kernels):
    """The predictions for a few images, as text; they take most of what is compiled."""
    network = Network((20, UNITS, UNITS))
    x = np.random.default_rng(0).integers(0, 256, (30, 20)).astype(np.uint8)
    params = network.init(np.random.default_rng(1))
    return network.predict(kernels, params, x, 1 / 255).tobytes().hex()


def train_one_step(kernels, dtype=np.uint8, frozen=False):
    """One step on a few samples, which may be read-only."""
    network, options = Network((20, UNITS, UNITS)), make_options(batch_size=8)
    params, layers = network.init(np.random.default_rng(1)), network.layers()
    x, targets, order = np.ones((8, 20), dtype), np.zeros(8, np.int32), np.arange(8)
    for array in (x, targets, order):
        array.setflags(write=not frozen)
    none, workspace = np.zeros(0, np.float32), kernels.workspace_size(layers, 8, 2)
    kernels.train_steps(
        x, targets, none, order, np.full(1, 1e-3), layers, options, 0, params,
        make_state(options, params), none, np.zeros(workspace, np.float32), np.zeros(3),
    )  # fmt: skip


MULTIPLYING = """
import sys
from pathlib import Path
import numpy as np
from mnistcore.kernels import numba_kernels
from mnistcore.kernels._numba.cache import CACHE_FOLDER
before = numba_kernels.compiled()
a, out = np.arange(9, dtype=np.float32).reshape(3, 3), np.empty((3, 3), np.float32)
numba_kernels.matmul(a, a, out)
names = {path.name.split("-")[0] for path in Path(CACHE_FOLDER).rglob("*.nbc")}
print(before, numba_kernels.compiled(), *out.ravel().astype(int), *sorted(names))
"""

needs_jit = pytest.mark.skipif(UNCOMPILED, reason="nothing is compiled")


def _fresh_environment(folder, **variables):
    environment = dict(os.environ, MNISTCORE_CACHE_DIR=str(folder), **variables)
    environment.pop("NUMBA_CACHE_DIR", None)
    return environment


def _run(code, folder):
    """A process that computes with vectors of 4, whose functions come from a cache or go there."""
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=_fresh_environment(folder, MNISTCORE_NUMBA_LANES="4"),
    )


def _compile(folder, then="pass"):
    """A process that compiles what a cache lacks of all functions, with one helper."""
    return _run(COMPILING.format(folders=FOLDERS, then=then), folder)


def _output(process):
    out, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return out


@pytest.fixture(scope="module")
def raced(tmp_path_factory):
    """A cache that was empty when two processes began to multiply, and what they print."""
    folder = tmp_path_factory.mktemp("raced")
    return folder, [_output(process) for process in [_run(MULTIPLYING, folder) for _ in range(2)]]


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
    """A cache with all functions, and what the process prints that compiled them."""
    folder = tmp_path_factory.mktemp("complete")
    return folder, _output(_compile(folder))


@needs_jit
def test_processes_that_start_at_once_on_an_empty_cache(raced):
    for out in raced[1]:
        before, after, *values = out.split()[:11]
        assert (before, after) == ("False", "False")
        assert [int(value) for value in values] == [15, 18, 21, 42, 54, 66, 69, 90, 111]


@needs_jit
def test_only_what_is_called_is_compiled(raced):
    for out in raced[1]:
        modules = {name.split(".")[0] for name in out.split()[11:]}
        assert modules == {"matmul", "tile"}


@needs_jit
@pytest.mark.skipif(os.name == "nt", reason="a limit of POSIX")
def test_a_full_disk_costs_time_only(tmp_path):
    program = """
import resource
import numpy as np
from mnistcore.kernels._numba.memory import address_in
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
print(address_in(id(np.zeros(3))) > 0)
"""
    command = [sys.executable, "-c", program]
    environment = _fresh_environment(tmp_path)
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert (done.stdout, done.stderr) == ("True\n", "")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@needs_jit
def test_what_is_damaged_in_the_cache_is_compiled_anew(raced, tmp_path):
    shutil.copytree(raced[0], tmp_path, dirs_exist_ok=True)
    files = {path: path.read_bytes() for path in tmp_path.rglob("*.nbc")}
    assert len(files) > 1
    rng = np.random.default_rng(0)
    for number, (path, content) in enumerate(files.items()):
        damaged = bytearray(content)
        damaged[rng.integers(len(content))] ^= 1 << rng.integers(8)
        path.write_bytes(damaged if number else content[:40])
    wanted = raced[1][0]
    assert _output(_run(MULTIPLYING, tmp_path)) == wanted
    mended = {path: path.read_bytes() for path in tmp_path.rglob("*.nbc")}
    assert mended.keys() == files.keys()
    times = {path: path.stat().st_mtime_ns for path in files}
    assert _output(_run(MULTIPLYING, tmp_path)) == wanted
    assert {path: path.stat().st_mtime_ns for path in files} == times  # nothing is compiled again


def checked_files(folder, stamp="stamp"):
    """The files of a function, as a process has them that declares it."""
    from mnistcore.kernels._numba.cache import _CheckedFiles

    return _CheckedFiles(str(folder), "x", stamp)


@needs_jit
def test_any_flipped_bit_is_noticed(tmp_path):
    files = checked_files(tmp_path)
    files.save("key", {"code": b"abc"})
    assert files.load("key") == {"code": b"abc"}
    (path,) = tmp_path.iterdir()
    content = path.read_bytes()
    for bit in range(8 * len(content)):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        assert files.load("key") is None
    path.write_bytes(content)
    assert files.load("key") == {"code": b"abc"}


@needs_jit
def test_what_is_saved_for_another_purpose_is_not_loaded(tmp_path):
    files = checked_files(tmp_path)
    files.save("key", "code")
    assert not files.has("another key")
    assert files.load("another key") is None
    assert checked_files(tmp_path, "another stamp").load("key") is None
    (path,) = tmp_path.iterdir()
    files.save("another key", "another code")
    (other,) = set(tmp_path.iterdir()) - {path}
    other.write_bytes(path.read_bytes())  # as if both had the same name
    assert files.load("another key") is None


@needs_jit
def test_functions_that_are_saved_at_once_are_each_loaded_as_they_were(tmp_path, monkeypatch):
    """Two callers reach each replacement of a file together, so both saw the same files before."""
    replace, together = os.replace, threading.Barrier(2, timeout=10)

    def wait_and_replace(*names):
        together.wait()
        replace(*names)

    monkeypatch.setattr(os, "replace", wait_and_replace)
    callers = [
        threading.Thread(target=checked_files(tmp_path).save, args=(key, f"code of {key}"))
        for key in ("one key", "another")
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    for key in ("one key", "another"):
        assert checked_files(tmp_path).load(key) == f"code of {key}"


FEW = slice(2, 10)  # of the functions by size: enough for a helper, compiled in two seconds


@pytest.fixture
def incomplete(complete, tmp_path):
    """A copy of the complete cache without a few of its functions."""
    shutil.copytree(complete[0], tmp_path, dirs_exist_ok=True)
    for path in sorted(tmp_path.rglob("*.nbc"), key=lambda path: path.stat().st_size)[FEW]:
        path.unlink()
    return tmp_path


def _ended(pid, seconds=30.0):
    """Whether a process ends in time."""
    for _ in range(int(seconds / 0.1)):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        if Path(f"/proc/{pid}/stat").exists():
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            if state == "Z":  # nobody has asked for its status yet
                return True
        time.sleep(0.1)
    return False


@needs_jit
def test_a_helper_compiles_a_part(complete):
    lines = complete[1].splitlines()
    (helper,) = [int(line.split()[1]) for line in lines if line.startswith("helper")]
    own = [line for line in lines if line.startswith("compiling")]
    all_functions = len(programs().TRAINING._functions)
    assert own[0] == f"compiling train (1 of {all_functions})"
    assert len(own) < all_functions
    # Nothing else was compiled by training and predicting.
    assert lines[-2:] == [f"predictions {trained(numpy_kernels)}", f"files {all_functions}"]
    assert _ended(helper, 1.0)


@needs_jit
@pytest.mark.parametrize("seconds", [0.0, 1.5])
def test_a_helper_that_is_killed_leaves_its_work_to_others(complete, incomplete, seconds):
    kill = "import threading; threading.Timer({}, helper.kill).start()"
    out = _output(_compile(incomplete, kill.format(seconds)))
    assert out.splitlines()[-1] == complete[1].splitlines()[-1]


@needs_jit
@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_no_helper_outlives_its_caller(complete, incomplete, number):
    process = _compile(incomplete)
    helper = int(process.stdout.readline().split()[1])
    assert process.stdout.readline().startswith("compiling")
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode
    # One that is told nothing finishes its function first.
    assert _ended(helper, 1.0 if number == signal.SIGINT else 30.0)
    out = _output(_compile(incomplete))
    assert out.splitlines()[-2:] == complete[1].splitlines()[-2:]


def programs():
    from mnistcore.kernels._numba import programs

    return programs


@needs_jit
@pytest.mark.parametrize(
    ("threads", "cores", "helpers"),
    [(1, 1, 0), (1, 8, 0), (8, 1, 0), (2, 2, 1), (8, 8, 3)],
)
def test_helpers_use_the_cores_that_threads_may_use(monkeypatch, threads, cores, helpers):
    monkeypatch.setattr(programs(), "get_num_threads", lambda: threads)
    monkeypatch.setattr(programs(), "available_cores", lambda: cores)
    assert programs()._most_helpers(16) == helpers
    assert programs()._most_helpers(2) == 0


@needs_jit
def test_without_another_interpreter_to_start_there_are_no_helpers(monkeypatch):
    monkeypatch.setattr(programs(), "get_num_threads", lambda: 2)
    monkeypatch.setattr(programs(), "available_cores", lambda: 2)
    for executable in (None, "", "/opt/program/around/python.exe.of/another"):
        monkeypatch.setattr(sys, "executable", executable)
        assert programs()._most_helpers(16) == 0


@needs_jit
def test_compiled_tells_whether_the_training_program_is_in_the_cache(monkeypatch):
    from mnistcore.kernels import numba_kernels
    from mnistcore.kernels._numba import training

    trained(numba_kernels)
    train_one_step(numba_kernels)
    assert numba_kernels.compiled()
    functions = programs().TRAINING._functions
    other = (training.train, training.SIGNATURE[:2])
    monkeypatch.setattr(programs().TRAINING, "_functions", (other, *functions[1:]))
    assert not numba_kernels.compiled()


@needs_jit
def test_a_program_has_one_signature():
    from mnistcore.kernels import numba_kernels
    from mnistcore.kernels._numba import training

    train_one_step(numba_kernels)
    train_one_step(numba_kernels, np.float32, frozen=True)
    assert training.train.signatures == [training.SIGNATURE]
