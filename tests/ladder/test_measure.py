"""What ``python -m mnistcore.ladder`` measures, shows and writes."""

import io
import json
import re
import subprocess
import sys
import time
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from mnistcore import get_backend, get_num_threads, set_num_threads
from mnistcore.kernels.backends import BackendUnavailableError
from mnistcore.kernels.blas import VARIABLES
from mnistcore.ladder import (
    BACKENDS,
    LADDERS,
    Climb,
    Ladder,
    Lesson,
    Rung,
    Step,
    load,
    main,
    measure,
    run,
    steps,
)
from mnistcore.ladder.figures import draw, table
from mnistcore.ladder.machine import bandwidth_gbs, best_seconds, peak_gflops

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


def lessons_of(*functions):
    names = [function.__name__ for function in functions]
    return tuple(
        Lesson(n, "An idea.", "Why.", "More.", "A book.", threaded=n == "blas") for n in names
    )


@pytest.fixture
def ladder_of(monkeypatch):
    """Put other steps in the place of the real ones, and a peak that takes no time."""
    monkeypatch.setattr(measure, "peak_gflops", lambda threads, *args, **kw: ONE_PEAK * threads)

    def replace(*functions, missing=(), **changes):
        found = [
            Step(lesson, f) for lesson, f in zip(lessons_of(*functions), functions, strict=True)
        ]
        numpy = load("matmul").steps("numpy")

        class Replaced(Ladder):
            def steps(self, language):
                if language in missing:
                    raise BackendUnavailableError(f"the ladder in {language} is not available: no")
                return {"python": [], "numpy": numpy}.get(language, found)

        matmul = {
            field.name: getattr(load("matmul"), field.name)
            for field in fields(Ladder)
            if field.init
        }
        one = Replaced(**matmul | {"lessons": lessons_of(*functions)} | changes)
        for module in ("measure", "figures", "command"):
            monkeypatch.setattr(f"mnistcore.ladder.{module}.load", lambda name: one)

    return replace


@pytest.mark.usefixtures("compiled")
def test_every_step_is_measured_and_right():
    climb = run("matmul", "numba", **SMALL)
    steps = load("matmul").steps("numba")
    assert [rung.language for rung in climb.rungs] == ["python"] + ["numba"] * len(steps) + [
        "numpy"
    ]
    assert all(not rung.wrong and rung.rows == 9 for rung in climb.rungs)
    for rung in climb.rungs:
        assert rung.rate == pytest.approx(2e-9 * 9 * 20 * 33 / rung.seconds)
        assert rung.of_peak == pytest.approx(rung.rate / climb.peaks[rung.threads])
        assert rung.of_peak < 1.1
        assert rung.over_first == pytest.approx(climb.rungs[0].seconds / rung.seconds)


def test_the_gain_is_over_the_step_before(ladder_of):
    ladder_of(slow, blas)
    first, second, last = run("matmul", "numba", **SMALL).rungs
    assert first.gain is None
    assert last.gain is None
    assert second.gain == pytest.approx(first.seconds / second.seconds)
    assert second.gain > 10


def test_a_step_is_measured_at_the_shape_where_it_pays(ladder_of):
    def five_a_row(a, b, out):
        time.sleep(5e-3 * len(a))
        np.matmul(a, b, out=out)

    def better_with_many_columns(a, b, out):
        time.sleep((5e-4 if b.shape[1] > 10 else 5e-3) * len(a))  # however many rows are measured
        np.matmul(a, b, out=out)

    ladder_of(five_a_row, better_with_many_columns, shape=(2, 3, 4))
    ladder = measure.load("matmul")
    with_shape = replace(ladder.lessons[1], shape=(16, 3, 11))
    ladder_steps = ladder.steps("numba")
    ladder_steps[1] = replace(ladder_steps[1], lesson=with_shape)
    _, second, _ = run("matmul", "numba", seconds=0.5).rungs
    assert second.own_shape == (16, 3, 11)
    assert 0.5 < second.gain < 1.6
    assert 4 < second.own_gain < 20
    _, second, _ = run("matmul", "numba", quick=True, seconds=0.2).rungs
    assert second.own_shape is None


def test_what_takes_long_is_measured_on_some_rows(ladder_of):
    ladder_of(slow)
    began = time.perf_counter()
    rung, _ = run("matmul", "numba", (3000, 5, 5), 0.2).rungs
    assert time.perf_counter() - began < 2
    assert 1 <= rung.rows < 300
    assert not rung.wrong
    assert 3 <= rung.seconds < 6


def test_a_call_that_lost_its_core_takes_no_rows_away(ladder_of):
    calls = []

    def interrupted(a, b, out):
        calls.append(len(a))
        if len(a) == 64 and calls.count(64) == 1:
            time.sleep(0.2)
        np.matmul(a, b, out=out)

    ladder_of(interrupted)
    rung, _ = run("matmul", "numba", (256, 5, 5), 0.2).rungs
    assert 64 in calls
    assert rung.rows == 256


def test_a_wrong_result_is_found_and_told(ladder_of, capsys):
    wrong = [untouched, stale(), off_by_one_row, slightly_off, swapped]
    ladder_of(blas, *wrong)
    rungs = run("matmul", "numba", **SMALL).rungs
    assert [not rung.wrong for rung in rungs] == [True, *(False for _ in wrong), True]
    assert main(["--backend", "numba", *FLAGS]) == 1
    assert "untouched: WRONG out[0, 0] is nan, not" in capsys.readouterr().out


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
    assert len(re.findall(r"^  1 slow .* %", out, re.MULTILINE)) == 2
    assert re.search(r"^NumPy *\n  BLAS .* %", out, re.MULTILINE)
    figures = json.loads((tmp_path / "ladder.json").read_text())
    assert figures["shape"] == [9, 20, 33]
    assert [rung["step"] for rung in figures["rungs"]] == ["slow", "blas", "slow", "blas", "BLAS"]
    assert figures["peaks"]["1"] == ONE_PEAK
    assert figures["unit"] == "GFLOP/s"
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
        (["--shape", "3", "4"], "is 3 whole numbers M K N from 1 to 16777216, got 3 4"),
        (["--shape", "3", "4", "x"], "invalid int value: 'x'"),
        (["--shape", "0", "4", "5"], "whole numbers M K N from 1 to .*, got 0 4"),
        (["--shape", "1", "1", "99999999"], "whole numbers M K N from 1"),
        (["--shape", "60000", "60000", "1"], "shape must make no array larger than"),
        (["--seconds", "0"], "seconds must be above 0 and at most 3600, got 0"),
        (["--seconds", "nan"], "seconds must be above 0"),
        (["--plot", "ladder.txt"], "ladder.txt: a picture must end in .svg, .png or .pdf"),
        (["--json", "."], "it is a folder; name a file"),
        (["--json", "nowhere/a.json"], "there is no folder nowhere"),
        (["--plot", "nowhere/a.png"], "there is no folder nowhere"),
        (["stray"], "must be one of .*, got 'stray'"),
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
        run("matmul", "numba", **SMALL)


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
    assert measure._numpy_threads() == threads


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


@pytest.mark.parametrize("name", LADDERS)
def test_the_page_shows_a_run_of_the_command(name):
    root = Path(__file__).parents[2]
    page = (root / "docs" / "ladder" / f"{name}.md").read_text(encoding="utf-8")
    results = root / "benchmarks" / "results" / f"ladder_{name}.json"
    figures = json.loads(results.read_text(encoding="utf-8"))
    rungs = [Rung(**rung | {"own_shape": _tuple(rung["own_shape"])}) for rung in figures["rungs"]]
    peaks = {int(threads): peak for threads, peak in figures["peaks"].items()}
    console = Console(width=80, file=io.StringIO())
    console.print(table(Climb(name, tuple(figures["shape"]), rungs, peaks, {})))
    shown = "\n".join(line.rstrip() for line in console.file.getvalue().splitlines())
    assert shown in page
    for link in re.findall(r"\]\(([^)#:]+)\)", page):
        assert (root / "docs" / "ladder" / link).exists(), link


def _tuple(numbers):
    return None if numbers is None else tuple(numbers)


@pytest.mark.parametrize("name", LADDERS)
def test_the_page_names_every_step(name):
    page = Path(__file__).parents[2] / "docs" / "ladder" / f"{name}.md"
    text = page.read_text(encoding="utf-8")
    for backend in BACKENDS:
        try:
            assert all(step.name in text for step in steps(name, backend))
        except BackendUnavailableError as error:
            pytest.skip(str(error))


@pytest.mark.usefixtures("compiled")
def test_the_peak_is_above_what_a_product_reaches():
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
    rungs = [
        Rung(b, "naive loops", 1.0, 0.2, 1, 0.005, 1.0, None, None, None, 9, "") for b in BACKENDS
    ]
    draw(Climb("matmul", (9, 20, 33), rungs, {1: ONE_PEAK}, {}), tmp_path / "chart.png")
    (figure,) = drawn
    for axes in figure.axes:
        assert axes.get_xscale() == "log"
        assert not axes.patches
        assert [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "o"] == [0.2]


@pytest.mark.usefixtures("compiled")
def test_the_bandwidth_of_a_cache_is_above_that_of_memory():
    assert bandwidth_gbs(1, 1 << 16) > 1.2 * bandwidth_gbs(1, 1 << 28, runs=3) > 1
    assert bandwidth_gbs(2, 1 << 16, runs=3, in_place=True) > 1
