"""Runs that are killed, terminated, interrupted while they start, or raced by another process."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import kills
import pytest
from small_digits import write_small_digits

from mnistcore import available_backends
from mnistcore.runs.checkpoints import files
from mnistcore.runs.folder import RunFolder, create_run_folder
from mnistcore.system.files import replacing
from mnistcore.train import main

pytestmark = pytest.mark.skipif(os.name != "posix", reason="sends signals")


@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again_comes_to_the_same(tmp_path):
    """Of one backend: those of resuming compare the bits that each goes on to."""
    backend = available_backends()[0]
    done, hits = kills.experiment(tmp_path, backend, kills=3, epochs=300, every="2epochs")
    assert done > 2
    assert hits > 0


QUICK = ["--backend", "numpy", "--hidden", "8", "--batch-size", "32", "--quiet"]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_run_that_is_told_to_end_saves_its_state(tmp_path, number, status):
    write_small_digits(tmp_path / "data")
    folder = tmp_path / "run"
    process = kills.command(
        *QUICK, "--data", str(tmp_path / "data"), "--epochs", "100000", "--output", str(folder)
    )
    while not (folder / "metrics.jsonl").exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (status, "")
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["interrupted"] is True
    assert (folder / "model.safetensors").exists()
    assert len(files(folder)) == 1
    epochs = str(summary["epochs_run"] + 2)
    assert main(["--resume", str(folder), "--epochs", epochs, "--quiet"]) == 0
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == int(epochs)


# Begins as ``python -m mnistcore.train`` does, and presses Ctrl-C when a module is imported.
START = """
import os, signal, sys
sys.argv, sys.orig_argv[1:] = ["-m"], ["-m", "mnistcore.train"]
def press(event, arguments):
    if event == "import" and arguments[0] == {module!r}:
        os.kill(os.getpid(), signal.SIGINT)
sys.addaudithook(press)
import mnistcore.train
sys.exit(mnistcore.train.main({flags!r}))
"""


@pytest.mark.parametrize(
    "module", ["numpy", "mnistcore.runs.execution", "mnistcore.terminal.training", "safetensors"]
)
def test_ctrl_c_is_quiet_from_the_first_import_on(tmp_path, module):
    """The process ends by the signal itself, or with the status that a shell gives to that."""
    write_small_digits(tmp_path / "data")
    flags = [*QUICK, "--data", str(tmp_path / "data"), "--epochs", "1"]
    code = START.format(module=module, flags=flags)
    environment = {**os.environ, "PYTHONPATH": str(kills.ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode in (-signal.SIGINT, 130)
    assert done.stderr in ("", "mnistcore train: interrupted\n")


def test_a_second_process_is_refused(tmp_path, capsys):
    folder = create_run_folder(str(tmp_path / "run"), "")
    folder.write_config({})
    assert main(["--resume", str(tmp_path / "run")]) == 2
    path = tmp_path / "run"
    assert capsys.readouterr().err == (
        f"mnistcore train: error: {path}: another process is training there\n"
    )
    folder.release()
    RunFolder(path).release()


def test_a_killed_owner_leaves_no_lock(tmp_path):
    code = f"""
import os, signal
from mnistcore.runs.folder import create_run_folder
folder = create_run_folder({str(tmp_path / "run")!r}, "")
os.kill(os.getpid(), signal.SIGKILL)
"""
    environment = {**os.environ, "PYTHONPATH": str(kills.ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment)
    assert done.returncode == -signal.SIGKILL
    RunFolder(tmp_path / "run").release()


def raced(job, racers=8):
    """The results of a job that several threads begin at once; an OSError is one, too."""
    results, barrier = [], threading.Barrier(racers)

    def race():
        barrier.wait()
        try:
            results.append(job())
        except OSError as error:
            results.append(error)

    threads = [threading.Thread(target=race) for _ in range(racers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_a_folder_that_is_raced_for_has_one_owner(tmp_path):
    for turn in range(20):

        def take(output=str(tmp_path / f"run{turn}")):
            folder = create_run_folder(output, "")
            folder.write_config({})
            return folder

        results = raced(take)
        assert sum(isinstance(result, RunFolder) for result in results) == 1
        words = "another process is training there", "is not empty; give output a new or an empty"
        for error in results:
            assert isinstance(error, RunFolder) or str(error.strerror).startswith(words)


def test_runs_that_begin_at_once_get_folders_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = [folder.path for folder in raced(lambda: create_run_folder(None, "x"))]
    assert len(set(paths)) == 8


def test_a_folder_with_what_a_killed_process_left_is_empty(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/.mnistcore-0123456789abcdef.tmp").write_text("half a config")
    folder = create_run_folder(str(tmp_path / "run"), "")
    folder.write_config({})
    assert [path.name for path in Path(tmp_path / "run").iterdir()] == ["config.json"]


def test_temporary_files_of_dead_processes_are_removed(tmp_path):
    left, fresh = (tmp_path / f".mnistcore-{digit * 16}.tmp" for digit in "01")
    other = tmp_path / ".0123456789abcdef.tmp"
    left.write_bytes(b"half")
    fresh.touch()
    other.write_bytes(b"of another program")
    with replacing(tmp_path / "file") as mine:
        mine.write(b"whole")
        mine.flush()
        with replacing(tmp_path / "second"):
            pass
    assert {path.name for path in tmp_path.iterdir()} == {"file", "second", fresh.name, other.name}
    os.utime(fresh, (1, 1))
    with replacing(tmp_path / "file"):
        pass
    assert not fresh.exists()
