"""A program that uses the public names passes a strict type checker, and a wrong one does not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROGRAM = """\
import mnistcore
from mnistcore import Dataset, TrainConfig, load
from mnistcore.train import run

data: Dataset = mnistcore.load_data("synthetic")
result = mnistcore.train(TrainConfig(epochs=1, hidden=(32,)), dataset=data)
again = run(TrainConfig(epochs=1))
accuracy: float = mnistcore.evaluate(result.folder.path).accuracy
ids = load(result.folder.path).predict(data.test_images)
mnistcore.export(result.folder.path, "onnx", int8=False)
mnistcore.get_backend("numba")
mnistcore.MLPClassifier((64,), activation="tanh")
"""


def test_a_program_type_checks(tmp_path):
    pytest.importorskip("mypy")
    (tmp_path / "right.py").write_text(PROGRAM)
    wrong = [
        'mnistcore.trian("x")',
        'mnistcore.TrainConfig(epochs="three")',
        "mnistcore.load()",
    ]
    (tmp_path / "wrong.py").write_text("import mnistcore\n" + "\n".join(wrong) + "\n")
    done = subprocess.run(
        # Without the libraries, whose types take most of the time.
        [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--config-file=",
         "--no-site-packages", "--ignore-missing-imports", "right.py", "wrong.py"],
        cwd=tmp_path, env={**os.environ, "MYPYPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip
    errors = [line.partition(": error: ")[0] for line in done.stdout.splitlines()[:-1]]
    assert errors == ["wrong.py:2", "wrong.py:3", "wrong.py:4"], done.stdout + done.stderr
