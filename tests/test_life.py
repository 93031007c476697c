"""What a process keeps of its work, in short: ``python -m tests.life`` does more of everything."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks into /proc")
def test_nothing_is_left_of_epochs_and_fits():
    pytest.importorskip("sklearn")
    command = [sys.executable, "-m", "tests.life", "--turns", "20", "--rounds", "0"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
