"""The team of threads: forks, several callers at once, more threads than cores, errors."""

import multiprocessing
import os
import signal
import threading
import time
from concurrent.futures import ProcessPoolExecutor

import numba
import numpy as np
import pytest
from numba.core.compiler_lock import global_compiler_lock

from mnistcore import get_num_threads, set_num_threads
from mnistcore.kernels import threads as teams
from mnistcore.kernels._numba.functions import JIT, entry
from mnistcore.kernels._numba.team import enter, leave
from mnistcore.models.network import Network
from mnistcore.training.optimizers import make_options, make_state

pytestmark = pytest.mark.slow

needs_jit = pytest.mark.skipif(not JIT, reason="uncompiled, nothing computes on several threads")


@pytest.fixture(autouse=True)
def _eager_team(monkeypatch):
    for worth in ("WORTHWHILE", "WORTHWHILE_TASKS"):
        monkeypatch.setattr(teams, worth, 0)
    set_num_threads(3)


def _train(kernels, steps=60):
    network = Network((50, 64, 32, 10))
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (200, 50)).astype(np.uint8)
    targets = rng.integers(0, 10, 200).astype(np.int32)
    options = make_options(batch_size=16, scale=1 / 255)
    params, layers = network.init(np.random.default_rng(1)), network.layers()
    state = make_state(options, params)
    workspace = np.zeros(kernels.workspace_size(layers, 16, 2), np.float32)
    order = np.random.default_rng(2).integers(0, 200, 16 * steps)
    none = np.zeros(0, np.float32)
    kernels.train_steps(
        x, targets, none, order, np.full(steps, 1e-3), layers, options, 0, params, state, none,
        workspace, np.zeros(3),
    )  # fmt: skip
    return params.tobytes()


def _multiply(kernels, times=20):
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=shape).astype(np.float32) for shape in ((70, 50), (50, 90)))
    results = set()
    for _ in range(times):
        out = np.full((70, 90), np.nan, np.float32)
        kernels.matmul(a, b, out)
        results.add(out.tobytes())
    return results


@pytest.mark.parametrize("job", [_train, _multiply])
def test_callers_at_once_get_the_same_bits(compiled, job):
    expected = job(compiled)
    results = [None] * 6

    def call(i):
        results[i] = job(compiled)

    callers = [threading.Thread(target=call, args=(i,)) for i in range(6)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(timeout=60)
    assert results == [expected] * 6


def test_products_and_training_take_turns(compiled):
    """Members at the desk are called away to train, and come back."""
    trained, product = _train(compiled), _multiply(compiled)
    assert len(product) == 1
    for _ in range(10):
        assert _multiply(compiled, times=2) == product
        assert _train(compiled, steps=60) == trained


def test_a_forked_child_computes(compiled):
    expected = _train(compiled)  # the team is awake when the process forks
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(write, b"1" if _train(compiled) == expected else b"0")
        finally:
            os._exit(0)
    os.close(write)
    assert os.read(read, 1) == b"1"
    os.waitpid(child, 0)
    assert _train(compiled) == expected


def _exit_of(child):
    """What a forked child exits with; it is killed where it does not within ten seconds."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.0005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "hangs"


@needs_jit
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_children_forked_while_other_threads_compute(compiled):
    """Whatever a thread of the parent was at, the child does not wait for it.

    ``MNISTCORE_FORKS=2000`` forks that many times.
    """
    network = Network((50, 64, 32, 10))
    params, layers = network.init(np.random.default_rng(1)), network.layers()
    predictor = compiled.Predictor(params, layers, 1 / 255, 0.0)
    x, over = np.arange(150, dtype=np.uint8).reshape(3, 50), threading.Event()

    def predict():
        out = np.empty((3, 10), np.float32)
        predictor(x, out)
        return out.tobytes()

    def jobs():
        return predict(), _train(compiled, steps=2), _multiply(compiled, times=2)

    def keep_on(job):
        while not over.is_set():
            job()

    expected = jobs()
    callers = [threading.Thread(target=keep_on, args=(job,)) for job in (predict, predict, jobs)]
    for caller in callers:
        caller.start()
    exits = []
    for _ in range(int(os.environ.get("MNISTCORE_FORKS", "20"))):
        child = os.fork()
        if child == 0:
            try:
                os._exit(int(jobs() != expected))
            finally:
                os._exit(2)
        exits.append(_exit_of(child))
    over.set()
    for caller in callers:
        caller.join()
    assert set(exits) == {0}


def test_a_child_forked_while_another_thread_compiles_can_compile():
    held, over = threading.Event(), threading.Event()

    def compile_long():
        with global_compiler_lock:
            held.set()
            over.wait(0.3)

    thread = threading.Thread(target=compile_long)
    thread.start()
    held.wait()
    child = os.fork()
    if child == 0:
        try:
            os._exit(numba.njit(lambda: 0)())
        finally:
            os._exit(2)
    over.set()
    thread.join()
    assert _exit_of(child) == 0


def test_more_threads_than_cores(compiled):
    expected = _train(compiled)
    set_num_threads(4 * teams.available_cores())
    assert _train(compiled, steps=60) == expected


def _in_a_pool(name):
    """What is trained on the threads that a process has by default, their number, and on three."""
    from mnistcore import get_backend

    set_num_threads(0)
    default = _train(get_backend(name), steps=20), get_num_threads()
    set_num_threads(3)
    return *default, _train(get_backend(name), steps=20)


def test_processes_of_a_pool(compiled, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    name, expected = compiled.NAME, _train(compiled, steps=20)
    with multiprocessing.get_context("fork").Pool(3) as pool:
        results = pool.map_async(_in_a_pool, [name] * 3).get(timeout=120)
    assert set(results) == {(expected, 1, expected)}


@pytest.mark.parametrize("limit", [None, 1])
def test_processes_of_an_executor(compiled, monkeypatch, limit):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if limit:
        monkeypatch.setenv("OMP_NUM_THREADS", str(limit))
    name, expected = compiled.NAME, _train(compiled, steps=20)
    with ProcessPoolExecutor(3, multiprocessing.get_context("fork")) as executor:
        results = set(executor.map(_in_a_pool, [name] * 3, timeout=120))
    assert results == {(expected, limit or teams.available_cores(), expected)}


class _Desk:
    """Plays a backend at the desk, and notes what it was asked for."""

    def __init__(self):
        self.led, self.attended = [], []
        self.busy = threading.Event()  # members stay until it is set

    def lead(self, desk, count):
        self.led.append(count)

    def attend(self, desk, index):
        if index:
            self.attended.append(index)
            self.busy.wait(10)


def _until(condition):
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.001)
    assert condition()


def test_sleeping_members_are_called_to_the_desk_once(monkeypatch):
    monkeypatch.setattr(teams, "_team", teams._Team())
    backend = _Desk()
    for _ in range(3):
        teams.run_tasks(3, backend.lead, backend.attend)
    _until(lambda: sorted(backend.attended) == [1, 2])
    backend.busy.set()
    assert backend.led == [3, 3, 3]


def test_a_caller_who_finds_the_team_at_work_is_alone(monkeypatch):
    monkeypatch.setattr(teams, "_team", teams._Team())
    teams._team._desk[teams.AT_WORK] = 1
    backend, seen = _Desk(), []
    teams.run_tasks(3, backend.lead, backend.attend)
    teams.run_team(3, lambda gate, leads: seen.append((gate, leads)))
    assert (backend.led, backend.attended, seen) == ([1], [], [(teams.ALONE, True)])


def test_members_leave_the_desk_by_themselves(compiled):
    _multiply(compiled)
    at_desk = teams._team._at_desk
    _until(lambda: not any(at_desk))


@entry
def _note(gate, leads, sizes):
    """A team's work: each thread writes the size of the team at its index."""
    index, threads = enter(gate, leads)
    if index >= 0:
        sizes[index] = threads
        leave(gate, index, threads)


def _sizes():
    sizes = np.zeros(3, np.int64)
    teams.run_team(3, lambda gate, leads: _note(gate, leads, sizes))
    return sizes.tolist()


@needs_jit
@pytest.mark.parametrize("leader", [True, False])
def test_an_error_in_any_thread_reaches_the_caller(leader):
    def work(gate, leads):
        if leads == leader:
            raise RuntimeError(f"from {leads}")
        _note(gate, leads, np.zeros(3, np.int64))

    assert _sizes() == [3, 3, 3]
    with pytest.raises(RuntimeError, match=f"from {leader}"):
        teams.run_team(3, work)
    assert _sizes() == [3, 3, 3]


@needs_jit
@pytest.mark.parametrize(("most", "sizes"), [(0, [1, 0, 0]), (1, [2, 2, 0])])
def test_a_system_that_starts_no_more_threads_has_a_smaller_team(most, sizes, monkeypatch):
    monkeypatch.setattr(teams, "_team", teams._Team())
    start = teams._thread.start_new_thread

    def start_few(*arguments):
        if len(teams._team._members) == most:
            raise RuntimeError("can't start new thread")
        return start(*arguments)

    monkeypatch.setattr(teams._thread, "start_new_thread", start_few)
    for _ in range(2):
        assert _sizes() == sizes


def test_the_cap():
    set_num_threads(2)
    assert get_num_threads() == 2
    set_num_threads(0)
    assert get_num_threads() == teams.available_cores()
    with pytest.raises(ValueError, match="negative"):
        set_num_threads(-1)


@pytest.mark.parametrize("n", [1.5, None, "2", np.float32(2)])
def test_a_cap_that_is_no_whole_number_is_refused(n):
    before = get_num_threads()
    with pytest.raises(TypeError, match="integer"):
        set_num_threads(n)
    with pytest.raises(TypeError, match="integer"):
        teams.limited_threads(n)
    assert get_num_threads() == before


@pytest.mark.parametrize(
    ("n", "cap"), [(np.int64(2), 2), (True, 1), (65, teams.MAX_THREADS), (10**9, teams.MAX_THREADS)]
)
def test_caps_are_plain_integers_up_to_the_most_that_a_kernel_uses(n, cap):
    set_num_threads(n)
    found = get_num_threads()
    set_num_threads(0)
    assert (found, type(found)) == (cap, int)


def test_a_team_that_lost_its_cores_is_followed_by_smaller_ones_for_a_while(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(teams.time, "monotonic", lambda: clock[0])
    free_cores = teams._FreeCores()
    free_cores.judge(4, lost=0.02, seconds=1.0)
    free_cores.judge(4, lost=0.03, seconds=0.04)
    free_cores.judge(4, lost=0.0, seconds=0.04)
    free_cores.judge(4, lost=0.03, seconds=0.04)
    assert free_cores.limit() == teams.MAX_THREADS, "one run that lost its cores is chance"
    free_cores.judge(4, lost=0.03, seconds=0.04)
    assert free_cores.limit() == 3
    free_cores.judge(3, lost=0.03, seconds=0.04)
    assert free_cores.limit() == 2
    clock[0] += 0.6
    assert free_cores.limit() == 3
    assert free_cores.limit() == 3
    clock[0] += 0.6
    assert free_cores.limit() == 4


def test_a_larger_team_is_tried_less_often_if_that_fails(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(teams.time, "monotonic", lambda: clock[0])
    free_cores = teams._FreeCores()
    for _ in range(2):
        free_cores.judge(2, lost=0.03, seconds=0.04)
    assert free_cores.limit() == 1
    waits = []
    for _ in range(5):
        began = clock[0]
        while free_cores.limit() == 1:
            clock[0] += 0.1
        waits.append(clock[0] - began)
        free_cores.judge(2, lost=0.03, seconds=0.04)
    np.testing.assert_allclose(waits, [0.5, 1, 2, 2, 2], atol=0.2)
    clock[0] += 2.1
    assert free_cores.limit() == 2
    free_cores.judge(2, lost=0.0, seconds=0.04)
    for _ in range(2):
        free_cores.judge(2, lost=0.03, seconds=0.04)
    clock[0] += 0.6
    assert free_cores.limit() == 2, "it went well in the meantime"


def test_runs_wait_longer_where_threads_wait_on_cores_of_their_own(monkeypatch):
    """To end early is in vain if the next team is as large."""
    clock = [0.0]
    monkeypatch.setattr(teams.time, "monotonic", lambda: clock[0])
    free_cores = teams._FreeCores()
    free_cores.judge(2, lost=0.03, seconds=0.04, early=True)
    free_cores.judge(2, lost=0.0, seconds=0.04)
    assert free_cores.allowance() == teams.ALLOWED
    free_cores.judge(2, lost=0.0, seconds=0.04, early=True)
    assert free_cores.allowance() == teams.PATIENT
    assert free_cores.limit() == teams.MAX_THREADS
    clock[0] += 2.1
    assert free_cores.allowance() == teams.ALLOWED


@pytest.mark.parametrize("stop", [1, 7, 50])
def test_steps_of_runs_that_end_early_are_those_of_a_whole_call(compiled, stop, monkeypatch):
    """Also where a loss that is not finite ends them."""
    network, options = Network((50, 64, 10)), make_options(batch_size=4)
    rng = np.random.default_rng(0)
    x, targets = rng.random((200, 50), np.float32), rng.integers(0, 10, 200).astype(np.int32)
    x[4 * stop :] = np.nan
    none, layers, results, runs, counts = np.zeros(0, np.float32), network.layers(), [], [], []
    make_run = teams._Run
    monkeypatch.setattr(teams, "_Run", lambda *of: runs.append(make_run(*of)) or runs[-1])
    monkeypatch.setattr(teams, "WORTHWHILE", 0)
    for threads, allowed in ((1, 0), (2, 2**60), (2, -(2**60))):
        set_num_threads(threads)
        monkeypatch.setattr(teams, "ALLOWED", allowed)
        free_cores = teams._FreeCores()
        monkeypatch.setattr(free_cores, "judge", lambda *_: None)
        monkeypatch.setattr(teams, "_free_cores", free_cores)
        params = network.init(np.random.default_rng(1))
        state, metrics = make_state(options, params), np.zeros(3)
        runs.clear()
        done = compiled.train_steps(
            x, targets, none, np.arange(200), np.linspace(1e-3, 2e-3, 50), layers, options, 3,
            params, state, none,
            np.zeros(compiled.workspace_size(layers, 4, 2), np.float32), metrics,
        )  # fmt: skip
        results.append((done, params.tobytes(), state.tobytes(), metrics.tobytes()))
        counts.append(len(runs))
    assert results[0][0] == stop
    assert results[1] == results[2] == results[0]
    whole = 1 if stop == 50 else 2  # the loss that is not finite is computed once more
    assert counts == [0, whole, stop if stop == 50 else stop + 1]


def test_a_limit_holds_for_its_own_thread_and_block_only():
    set_num_threads(3)
    seen = []
    with teams.limited_threads(2):
        with teams.limited_threads(5):
            seen.append(get_num_threads())
        other = threading.Thread(target=lambda: seen.append(get_num_threads()))
        other.start()
        other.join()
        with teams.limited_threads(1):
            seen.append(get_num_threads())
        seen.append(get_num_threads())
    seen.append(get_num_threads())
    assert seen == [2, 3, 1, 2, 3]
    with pytest.raises(ValueError, match="negative"), teams.limited_threads(-1):
        pass
