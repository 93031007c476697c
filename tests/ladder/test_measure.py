"""What ``python -m mnistcore.ladder`` measures, shows and writes."""

import io
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from mnistcore import get_backend, get_num_threads, set_num_threads
from mnistcore.kernels.backends import BackendUnavailableError
from mnistcore.kernels.blas import VARIABLES
from mnistcore.ladder import BACKENDS, Rung, Step, main, measure, run, steps
from mnistcore.ladder.figures import draw, table
from mnistcore.ladder.peak import best_seconds, peak_gflops

pytestmark = pytest.mark.slow

SMALL = {"shape": (9, 20, 33), "seconds": 0.05}
FLAGS = ["--shape", "9", "20", "33", "--seconds", "0.05"]
ONE_PEAK = 50.0


def slow(a, b, out):
    """A product that takes a millisecond a row."""
    time.sleep(1e-3 * len(a))
    np.matmul(a, b, out=out)


def blas(a, b, out):
    np.matmul(a, b, out=out)


def untouched(a, b, out):
    """A product that computes nothing."""


def stale():
    """A product that gives its first answer for a shape again and again."""
    answers = {}

    def repeated(a, b, out):
        if a.shape not in answers:
            answers[a.shape] = a @ b
        out[...] = answers[a.shape]

    return repeated


def off_by_one_row(a, b, out):
    out[...] = np.roll(a @ b, 1, axis=0)


def slightly_off(a, b, out):
    out[...] = np.float32(1.01) * (a @ b)


def swapped(a, b, out):
    out[...] = (a @ b).T.reshape(out.shape)


def steps_of(*functions):
    return [Step(f.__name__, "An idea.", "A lesson.", f, f is blas) for f in functions]


@pytest.fixture
def ladder_of(monkeypatch):
    """Put other steps in the place of the real ones, and a peak that takes no time."""
    monkeypatch.setattr(measure, "peak_gflops", lambda threads, *args, **kw: ONE_PEAK * threads)

    def replace(*functions, missing=()):
        def steps(backend):
            if backend in missing:
                raise BackendUnavailableError(f"the ladder in {backend} is not available: no")
            return steps_of(*functions)

        monkeypatch.setattr(measure, "steps", steps)

    return replace


def test_every_step_is_measured_and_right():
    numba = pytest.importorskip("numba")
    if numba.config.DISABLE_JIT:
        pytest.skip("only what is compiled can be measured")
    ladder = run("numba", **SMALL)
    assert [rung.backend for rung in ladder.rungs] == ["numba"] * 8 + ["numpy"]
    assert all(rung.exact and rung.rows == 9 for rung in ladder.rungs)
    for rung in ladder.rungs:
        assert rung.gflops == pytest.approx(2e-9 * 9 * 20 * 33 / rung.seconds)
        assert rung.of_peak == pytest.approx(rung.gflops / ladder.peaks[rung.threads])
        assert rung.of_peak < 1.1


def test_the_gain_is_over_the_step_before(ladder_of):
    ladder_of(slow, blas)
    first, second, last = run("numba", **SMALL).rungs
    assert first.gain is None
    assert last.gain is None
    assert second.gain == pytest.approx(first.seconds / second.seconds)
    assert second.gain > 10


def test_what_takes_long_is_measured_on_some_rows(ladder_of):
    ladder_of(slow)
    began = time.perf_counter()
    rung, _ = run("numba", (3000, 5, 5), 0.2).rungs
    assert time.perf_counter() - began < 2
    assert 8 <= rung.rows < 300
    assert rung.exact
    assert 3 <= rung.seconds < 6


def test_a_wrong_result_is_found_and_told(ladder_of, capsys):
    wrong = [untouched, stale(), off_by_one_row, slightly_off, swapped]
    ladder_of(blas, *wrong)
    rungs = run("numba", **SMALL).rungs
    assert [rung.exact for rung in rungs] == [True, *(False for _ in wrong), True]
    assert main(["--backend", "numba", *FLAGS]) == 1
    assert "untouched: THE RESULT IS WRONG" in capsys.readouterr().out


def test_one_missing_backend_is_told_and_both_are_refused(ladder_of, capsys):
    ladder_of(blas, missing=("cython",))
    assert main(FLAGS) == 0
    assert "the ladder in cython is not available: no" in capsys.readouterr().out
    ladder_of(blas, missing=("cython", "numba"))
    with pytest.raises(BackendUnavailableError, match=r"in numba is .*; the ladder in cython"):
        run(**SMALL)
    assert main(["--backend", "cython", *FLAGS]) == 2
    assert "mnistcore ladder: error: the ladder in cython" in capsys.readouterr().err


def test_the_table_and_the_files_hold_the_figures(ladder_of, capsys, tmp_path):
    ladder_of(slow, blas)
    files = ["--json", str(tmp_path / "ladder.json"), "--plot", str(tmp_path / "ladder.svg")]
    assert main([*FLAGS, *files]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert max(map(len, out.splitlines())) <= 80
    assert len(re.findall(r"^  slow .* %", out, re.MULTILINE)) == 2
    assert re.search(r"^NumPy *\n  BLAS .* %", out, re.MULTILINE)
    figures = json.loads((tmp_path / "ladder.json").read_text())
    assert figures["shape"] == [9, 20, 33]
    assert [rung["step"] for rung in figures["rungs"]] == ["slow", "blas", "slow", "blas", "BLAS"]
    assert figures["peak_gflops"]["1"] == ONE_PEAK
    assert figures["machine"]["cores"] >= 1
    picture = (tmp_path / "ladder.svg").read_text()
    assert "<svg" in picture
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ladder.json", "ladder.svg"]


@pytest.mark.parametrize("kind", ["png", "pdf"])
def test_pictures_of_other_kinds(ladder_of, kind, tmp_path):
    ladder_of(blas)
    picture = tmp_path / f"ladder.{kind}"
    assert main(["--backend", "cython", *FLAGS, "--plot", str(picture)]) == 0
    assert picture.read_bytes()[:4] == {"png": b"\x89PNG", "pdf": b"%PDF"}[kind]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--backend", "cuda"], "must be one of .*, got 'cuda'"),
        (["--shape", "3", "4"], "expected 3 arguments"),
        (["--shape", "3", "4", "x"], "invalid int value: 'x'"),
        (["--shape", "0", "4", "5"], r"shape must be three numbers M K N in \[1, 65536\], got 0 4"),
        (["--shape", "1", "1", "99999"], "shape must be three numbers"),
        (["--shape", "60000", "60000", "1"], "shape must make no matrix larger than"),
        (["--seconds", "0"], "seconds must be above 0 and at most 3600, got 0"),
        (["--seconds", "nan"], "seconds must be above 0"),
        (["--plot", "ladder.txt"], "ladder.txt: a picture must end in .svg, .png or .pdf"),
        (["--json", "."], "is a folder; name a file"),
        (["--json", "nowhere/a.json"], "nowhere: no such folder"),
        (["--plot", "nowhere/a.png"], "nowhere: no such folder"),
        (["stray"], "unrecognized arguments: stray"),
    ],
)
def test_a_bad_command_line_gets_one_clear_line(
    ladder_of, flags, message, capsys, tmp_path, monkeypatch
):
    ladder_of(blas)
    monkeypatch.chdir(tmp_path)
    assert main([*FLAGS, *flags]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"mnistcore ladder: error: .*\n", err)
    assert re.search(message, err)
    assert not list(tmp_path.iterdir())


def test_ctrl_c_ends_it_with_the_usual_status(ladder_of, capsys):
    def interrupted(a, b, out):
        raise KeyboardInterrupt

    ladder_of(interrupted)
    assert main(FLAGS) == 130
    assert capsys.readouterr().err == "mnistcore ladder: interrupted\n"


def test_nothing_is_measured_uncompiled(monkeypatch):
    import numba

    monkeypatch.setattr(numba.config, "DISABLE_JIT", True, raising=False)
    with pytest.raises(ValueError, match="NUMBA_DISABLE_JIT is set"):
        run("numba", **SMALL)


@pytest.mark.parametrize(
    ("variables", "threads"),
    [({}, 3), ({"OMP_NUM_THREADS": "2"}, 2), ({"OPENBLAS_NUM_THREADS": "1"}, 1),
     ({"MKL_NUM_THREADS": "99"}, 3), ({"OMP_NUM_THREADS": "2,1"}, 2)],
)  # fmt: skip
def test_the_threads_of_blas_are_those_that_it_was_told(monkeypatch, variables, threads):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(measure, "available_cores", lambda: 3)
    assert measure._blas_threads() == threads


def test_help_loads_nothing_heavy():
    heavy = ("numba", "llvmlite", "matplotlib", "mnistcore.kernels.cython_kernels")
    code = (
        "import sys; from mnistcore.__main__ import main\n"
        "try: main(['ladder', '--help'])\n"
        f"except SystemExit: print([m for m in {heavy!r} if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert "usage: mnistcore ladder" in done.stdout
    assert done.stdout.strip().endswith("[]")


def test_the_page_shows_a_run_of_the_command():
    root = Path(__file__).parents[2]
    page = (root / "docs" / "ladder.md").read_text(encoding="utf-8")
    results = root / "benchmarks" / "results" / "ladder.json"
    figures = json.loads(results.read_text(encoding="utf-8"))
    console = Console(width=80, file=io.StringIO())
    console.print(table([Rung(**rung) for rung in figures["rungs"]]))
    shown = "\n".join(line.rstrip() for line in console.file.getvalue().splitlines())
    assert shown in page
    for link in re.findall(r"\]\(([^)#:]+)\)", page):
        assert (root / "docs" / link).exists(), link


def test_the_page_names_every_step():
    page = (Path(__file__).parents[2] / "docs" / "ladder.md").read_text(encoding="utf-8")
    for backend in BACKENDS:
        try:
            names = [step.name for step in steps(backend)]
        except BackendUnavailableError as error:
            pytest.skip(str(error))
        assert all(name in page for name in names)


def test_the_peak_is_above_what_a_product_reaches():
    numba = pytest.importorskip("numba")
    if numba.config.DISABLE_JIT:
        pytest.skip("the peak is that of compiled code")
    kernels = get_backend("numba")
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 192, 192)).astype(np.float32)
    out = np.empty((192, 192), np.float32)
    kernels.matmul(a, b, out)
    cap = get_num_threads()
    set_num_threads(1)
    try:
        seconds = best_seconds(1, lambda thread: kernels.matmul(a, b, out), 20)
    finally:
        set_num_threads(cap)
    assert 0.1 < 2e-9 * 192**3 / seconds / peak_gflops(1, 100_000, 20) < 1.1


def test_the_chart_shows_a_dot_per_step_and_no_bar_on_its_logarithmic_axis(tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    drawn = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda f, *a, **k: (drawn.append(f), save(f, *a, **k)))
    rungs = [Rung(b, "naive loops", 1.0, 0.2, 1, 0.005, None, 9, True) for b in BACKENDS]
    ladder = measure.Ladder((9, 20, 33), rungs, {1: ONE_PEAK}, {})
    draw(ladder, tmp_path / "chart.png")
    (figure,) = drawn
    for axes in figure.axes:
        assert axes.get_xscale() == "log"
        assert not axes.patches
        assert [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "o"] == [0.2]
