"""``mnistcore ladder --mine FILE:FUNCTION``: what it answers, and the attempts that it keeps."""

import json
import re
import sys
from itertools import pairwise

import pytest

from mnistcore.ladder import main
from mnistcore.ladder.attempts import _spread, kept

pytestmark = pytest.mark.slow

FLAGS = ["--shape", "9", "20", "33", "--seconds", "0.05", "--backend", "numba"]
PRODUCT = """
import numpy as np
from beside import shift

def right(a, b, out):
    np.matmul(a, b, out=out)

def wrong(a, b, out):
    np.matmul(a, b, out=out)
    out += shift

def raises(a, b, out):
    raise RuntimeError("no [bold]more[/]\\nat all")

def two(a, b):
    return a @ b

number = 3
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "product.py").write_text(PRODUCT)
    (tmp_path / "beside.py").write_text("shift = 1\n")
    return tmp_path


def test_figures_do_not_replace_the_file_of_the_reader(folder, capsys):
    assert main(["--mine", "product.py:right", "--json", "./product.py", *FLAGS]) == 2
    assert "product.py: is the file that is read" in capsys.readouterr().err
    assert (folder / "product.py").read_text() == PRODUCT


@pytest.mark.usefixtures("compiled")
def test_attempts_are_kept_and_drawn(folder, capsys):
    assert main(["--mine", "product.py:right", *FLAGS]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert re.search(r"^Yours *\n  right .* %", out, re.MULTILINE)
    assert "right is right: " in out
    assert "attempt" not in out
    picture, figures = folder / "attempts.svg", folder / "figures.json"
    flags = ["--plot", str(picture), "--json", str(figures)]
    assert main(["--mine", "product.py:right", *FLAGS, *flags]) == 0
    assert re.search(r"attempt 2, [\d.]+ times the speed of the best", capsys.readouterr().out)
    assert "<svg" in picture.read_text()
    assert json.loads(figures.read_text())["rungs"][-1]["language"] == "yours"
    first, second = kept(folder / "product.py")
    assert first["time"] <= second["time"]
    assert first["shape"] == [9, 20, 33]
    assert first["rate"] > 0
    assert main(["--mine", "product.py:right", *FLAGS, "--shape", "8", "20", "33"]) == 0
    assert "attempt" not in capsys.readouterr().out  # another shape is no comparison
    assert len(kept(folder / "product.py")) == 3


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("wrong", r"wrong is wrong: out\[0, 0\] is -?\d+, not -?\d+, at M=1 K=1 N=1\n"),
        (
            "raises",
            r"raises is wrong: product.py, line 13: RuntimeError: no \[bold\]more\[/\] at all,"
            r" with a \(1, 1\), b \(1, 1\), out \(1, 1\)\n",
        ),
    ],
)
def test_a_wrong_function_gets_one_line_and_status_1(folder, function, message, capsys):
    assert main(["--mine", f"product.py:{function}", *FLAGS]) == 1
    out, err = capsys.readouterr()
    assert err == ""
    assert re.fullmatch(message, out)
    assert not list(folder.glob("*.json"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("product.py:two", r"the ladder matmul calls two\(a, b, out\), but it is two\(a, b\): too"),
        ("product.py:rigth", "product.py: has no function 'rigth'; did you mean 'right'?"),
        ("product.py:x", "has no function 'x'; it has right, wrong, raises, two"),
        ("product.py:number", "product.py: number is int, not a function"),
        ("product.py", "must be FILE:FUNCTION"),
        ("product.py:", "must be FILE:FUNCTION"),
        (":right", "must be FILE:FUNCTION"),
        ("nowhere.py:right", "nowhere.py: No such file"),
        (".:right", r"\.: .*irectory"),
        ("text.txt:right", "text.txt: is no file of Python; its name must end in .py"),
        ("syntax.py:right", "syntax.py, line 2: is no Python: invalid syntax"),
        ("error.py:right", "error.py, line 2: ZeroDivisionError: division by zero"),
        ("missing.py:right", "missing.py, line 1: ModuleNotFoundError: No module named 'nowhere'"),
        ("ends.py:right", "ends.py, line 2: SystemExit: 3"),
        ("kept.py:right", "kept.ladder.json: is not what this command writes; move it away"),
        ("zero.py:right", "zero.ladder.json: is not what this command writes; move it away"),
        ("deep.py:right", "deep.ladder.json: is not what this command writes; move it away"),
        ("huge.py:right", "huge.ladder.json: is not what this command writes; move it away"),
    ],
)
def test_bad_input_gets_one_line_and_status_2(folder, words, message, capsys):
    (folder / "text.txt").write_text("text")
    (folder / "syntax.py").write_text("x = 1\ndef f(:\n")
    (folder / "error.py").write_text("def f():\n    1 / 0\nf()\n")
    (folder / "missing.py").write_text("import nowhere\n")
    (folder / "ends.py").write_text("import sys\nsys.exit(3)\n")
    (folder / "kept.py").write_text("def right(a, b, out): out[:] = a @ b\n")
    (folder / "kept.ladder.json").write_text('{"attempts": [{"rate": "fast"}]}')
    attempt = '{"attempts": [{"ladder": 1, "function": 1, "shape": 1, "rate": %s}]}'
    for name, rate in (("zero", "0"), ("huge", "1" + "0" * 400), ("deep", "[" * 100_000)):
        (folder / f"{name}.py").write_text(PRODUCT)
        (folder / f"{name}.ladder.json").write_text(attempt % rate)
    assert main(["--mine", words, *FLAGS]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"mnistcore ladder: error: .*\n", err)
    assert re.search(message, err)


def test_labels_are_moved_apart_and_stay_inside():
    heights = [0.1, 0.1, 0.11, 0.9, 0.98, 0.99, 0.99]
    spread = _spread(heights)
    gaps = [high - low for low, high in pairwise(spread)]
    assert min(gaps) > 0.0419
    assert max(spread) <= 1
    assert min(spread) >= 0.1
    assert spread[0] == 0.1
