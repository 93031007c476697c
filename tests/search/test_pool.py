import os
import signal

import pytest
from small_search import optuna, small_plan

from mnistcore.kernels.blas import VARIABLES
from mnistcore.search.execution import prepare
from mnistcore.search.pool import Pool, WorkersFailedError, _environment, shares

assert optuna  # the study is its


@pytest.mark.parametrize(
    ("cores", "workers", "expected"),
    [(4, 1, [4]), (4, 2, [2, 2]), (8, 3, [3, 3, 2]), (4, 4, [1, 1, 1, 1]), (2, 3, [1, 1, 1])],
)
def test_cores_are_shared_out(cores, workers, expected):
    assert shares(cores, workers) == expected


def small_pool(tmp_path, **data):
    train = {"backend": "numpy", "epochs": 5000, **data}
    plan = small_plan(tmp_path / "out", train=train, workers=1)
    return Pool(plan, prepare(plan).study)


def test_workers_that_die_again_and_again_end_the_search(place, tmp_path):
    with small_pool(tmp_path, data="../data") as pool:
        for _ in range(2):
            os.kill(pool.pids[0], signal.SIGKILL)
            os.waitid(os.P_PID, pool.pids[0], os.WEXITED | os.WNOWAIT)
            assert pool.watch(0)  # a new one has taken its place
        os.kill(pool.pids[0], signal.SIGKILL)
        os.waitid(os.P_PID, pool.pids[0], os.WEXITED | os.WNOWAIT)
        with pytest.raises(WorkersFailedError, match=r"3 workers were killed \(signal 9\)"):
            pool.watch(0)


def test_the_last_words_of_a_worker_are_told(place, tmp_path):
    pool = small_pool(tmp_path, data="../data")
    os.rename("../data", "../gone")  # the worker will not find its data
    with pool:
        os.waitid(os.P_PID, pool.pids[0], os.WEXITED | os.WNOWAIT)
        with pytest.raises(WorkersFailedError, match=r"a worker failed: .*no such file or folder"):
            pool.watch(0)


def test_blas_has_one_thread_in_a_worker_unless_a_number_was_asked_for(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    for asked, count in ((0, "1"), (3, "3")):
        environment = _environment(asked)
        assert {environment[name] for name in VARIABLES} == {count}
