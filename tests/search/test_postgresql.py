"""A study in a real PostgreSQL server, which is started for these tests."""

import contextlib
import functools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from small_search import FLAGS, ROOT, optuna

from mnistcore.search.study import SURPLUS, WORKER

pytestmark = pytest.mark.slow

LONG = ["--epochs", "60", "--pruner", "none", "--sampler", "random", "--quiet"]


def _binaries():
    """The folder with the server's programs; they are often not on the path."""
    found = shutil.which("initdb")
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    candidates = [Path(found).resolve().parent] if found else []
    return next((f for f in [*candidates, *folders] if (f / "initdb").exists()), None)


def _account():
    """Who runs the server, which refuses to be run by root; None where we are not root."""
    import pwd

    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            pwd.getpwnam(name)
            return name
    return pytest.skip("PostgreSQL does not run as root, and there is no user postgres or nobody")


@pytest.fixture(scope="module")
def server():
    """The URL of an empty database on a server of our own."""
    pytest.importorskip("psycopg", reason='needs a driver: pip install "psycopg[binary]"')
    binaries = _binaries()
    if binaries is None:
        missing = "needs PostgreSQL: apt-get install postgresql"
        (pytest.fail if os.environ.get("MNISTCORE_REQUIRE_POSTGRESQL") else pytest.skip)(missing)
    account = _account()
    folder = Path(tempfile.mkdtemp(prefix="mnistcore-postgresql-"))
    settings = {"user": account, "cwd": "/", "check": True, "stdout": subprocess.DEVNULL}
    try:
        if account:
            shutil.chown(folder, account)
        data = str(folder / "data")
        subprocess.run(
            [binaries / "initdb", "-D", data, "-A", "trust", "-U", "me", "--no-sync"], **settings
        )
        port = _free_port()
        options = f"-h 127.0.0.1 -p {port} -k {folder} -F"
        control = [binaries / "pg_ctl", "-D", data, "-w", "-l", str(folder / "log")]
        subprocess.run([*control, "-o", options, "start"], **settings)
        try:
            yield f"postgresql://me@127.0.0.1:{port}/postgres"
        finally:
            subprocess.run([*control, "-m", "immediate", "stop"], **settings)
    finally:
        shutil.rmtree(folder)


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def command(server, study, output, *flags):
    """The command as another machine would run it: in a process group of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    shared = ["--storage", server, "--study", study, "--output", output, "--data", "../data"]
    return subprocess.Popen(
        [sys.executable, "-m", "mnistcore.search", *FLAGS, *LONG, *shared, *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


@functools.cache  # connecting takes longer than looking
def storage(server):
    return optuna.storages.RDBStorage(server.replace("postgresql://", "postgresql+psycopg://"))


def trials(server, study):
    try:
        return optuna.load_study(study_name=study, storage=storage(server)).get_trials()
    except KeyError:  # it is not there yet
        return []


def wait_for_workers(server, study, count):
    """The process ids of workers that are in the middle of a trial."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        pids = at_work(server, study)
        if len(pids) >= count:
            return pids
        time.sleep(0.05)
    raise AssertionError("the workers did not begin")


def at_work(server, study):
    running = [t for t in trials(server, study) if t.state.name == "RUNNING"]
    named = [t for t in running if t.intermediate_values and WORKER in t.user_attrs]
    return {int(t.user_attrs[WORKER].rpartition(":")[2]) for t in named}


def stopped_in_a_trial(server, study, count):
    """One of so many workers, stopped: else its trial may end while we look."""
    while True:
        victim = min(wait_for_workers(server, study, count))
        os.kill(victim, signal.SIGSTOP)
        time.sleep(0.1)  # what it had sent arrives
        if victim in at_work(server, study):
            return victim
        os.kill(victim, signal.SIGCONT)


def check(server, study, wanted):
    """As many trials are finished as were asked for, and no point is among them twice."""
    finished = [t for t in trials(server, study) if t.state.name == "COMPLETE"]
    failed = [t for t in trials(server, study) if t.state.name == "FAIL"]
    lost = [t for t in failed if SURPLUS not in t.user_attrs]
    assert len(finished) == wanted
    assert not [t for t in trials(server, study) if t.state.name in ("RUNNING", "WAITING")]
    points = [str(sorted(t.params.items())) for t in finished]
    assert len(set(points)) == wanted
    for trial in lost:  # it was tried again, to the same point
        assert str(sorted(trial.params.items())) in points
    return lost


def test_a_worker_that_is_killed_loses_only_its_trial(place, server):
    process = command(server, "killed", "out", "--workers", "2", "--trials", "3")
    victim = stopped_in_a_trial(server, "killed", 2)
    os.kill(victim, signal.SIGKILL)
    _, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, "")
    (lost,) = check(server, "killed", 3)
    assert lost.user_attrs[WORKER].endswith(f":{victim}")
    summary = json.loads(Path("out/summary.json").read_text())
    assert (summary["finished_trials"], summary["lost_trials"]) == (3, 1)


def test_a_machine_that_dies_loses_only_its_trial(place, server):
    """Two commands share the study; one is killed with its worker and nobody cleans up."""
    flags = ["--workers", "1", "--trials", "3", "--grace", "2"]
    dying = command(server, "machines", "there", *flags)
    victim = stopped_in_a_trial(server, "machines", 1)
    dying.kill()
    os.kill(victim, signal.SIGKILL)
    dying.communicate()
    staying = command(server, "machines", "here", *flags)
    _, err = staying.communicate(timeout=120)
    assert (staying.returncode, err) == (0, "")
    (lost,) = check(server, "machines", 3)
    assert lost.user_attrs[WORKER].endswith(f":{victim}")
