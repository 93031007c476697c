"""``mnistcore ladder --roofline``: the limits of the machine, and the steps below them."""

import re

import pytest

from mnistcore.ladder import LADDERS, Climb, Rung, load, main, roofline
from mnistcore.ladder.roofline import Point, Roof, Roofline, measure_roofline
from mnistcore.ladder.roofline_figure import draw_roofline, roofline_table

pytestmark = pytest.mark.slow


@pytest.fixture
def measured(monkeypatch):
    """Measurements that take no time: 100 GFLOP/s a core, and a call of a millisecond."""
    asked = []

    def bandwidth(threads, size, moved, runs, *, in_place):
        asked.append((threads, size))
        return 1e10 / size * (1 if in_place else 0.7)

    def climb(name, backend, shape, seconds, *, quick):
        ladder = load(name)
        last = ladder.lessons[-1].name
        rungs = [
            Rung(language, last, 1e-3, 1.0, threads, 0.5, 1.0, None, None, None, 1, "")
            for language, threads in (("python", 1), ("numba", 2), ("cython", 1), ("numpy", 1))
        ]
        return Climb(name, tuple(shape), rungs, {1: 100.0}, {})

    monkeypatch.setattr(roofline, "run", climb)
    monkeypatch.setattr(roofline, "peak_gflops", lambda threads, runs: 100.0 * threads)
    monkeypatch.setattr(roofline, "bandwidth_gbs", bandwidth)
    monkeypatch.setattr(roofline, "_cache_sizes", lambda: {1: 1 << 15, 2: 1 << 19, 3: 1 << 25})
    monkeypatch.setattr(roofline, "get_num_threads", lambda: 2)
    return asked


def test_the_place_of_a_step_is_its_operations_for_each_byte(measured):
    found = measure_roofline(["matmul"])
    assert [point.language for point in found.points] == ["numba", "cython", "numpy"]
    m, k, n = load("matmul").shape
    for point in found.points:
        assert point.gflops == pytest.approx(2e-6 * m * k * n)
        assert point.intensity == pytest.approx(2 * m * k * n / (4 * (m * k + k * n + m * n)))
    assert [roof.threads for roof in found.roofs] == [1, 2]
    assert [roof.peak for roof in found.roofs] == [100, 200]
    one, two = ([size for threads, size in measured if threads == count] for count in (1, 2))
    assert one[::2] == one[1::2]  # of a triad, and in place
    one, two = one[::2], two[::2]
    assert one == [1 << 14, 1 << 18, 1 << 24, 1 << 28]
    assert two == [1 << 15, 1 << 19, 1 << 24, 1 << 28]  # L1 and L2 belong to a core


SIZES = {"L1": 1 << 14, "memory": 1 << 28}


def test_the_limit_is_the_peak_or_what_holds_the_arrays():
    roof = Roof(1, 100.0, {"L1": 200.0, "memory": 10.0}, SIZES)

    def limit(intensity, moved):
        return roof.limit(Point("matmul", "numba", "vectors", intensity, moved, 1.0, 1))

    assert limit(50, 1e9) == (100, "the peak")
    assert limit(0.25, 1e9) == (2.5, "memory")
    assert limit(0.25, 1 << 15) == (50, "L1")
    assert limit(0.25, (1 << 15) + 1) == (2.5, "memory")


def test_the_table_tells_the_fraction_of_the_roof():
    roofs = [Roof(1, 100.0, {"L1": 200.0, "memory": 10.0}, SIZES)]
    last = load("matmul").lessons[-1].name
    points = [
        Point("matmul", "numba", last, 0.5, 1e6, 4.0, 1),
        Point("matmul", "numba", "loop order", 0.5, 1e6, 3.0, 1),
    ]
    table = roofline_table(Roofline(roofs, points))
    cells = [list(column.cells) for column in table.columns]
    assert cells == [
        ["matmul"], ["Numba"], ["0.500"], ["4.00"], ["1"], ["80 %"], ["memory"],
    ]  # fmt: skip


def test_the_figure_has_a_dot_for_each_step_and_a_line_for_each_memory(
    measured, tmp_path, monkeypatch
):
    from matplotlib.figure import Figure

    drawn = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda f, *a, **k: (drawn.append(f), save(f, *a, **k)))
    draw_roofline(measure_roofline(["matmul"]), tmp_path / "roof.png")
    assert {path.name for path in tmp_path.iterdir()} == {"roof.png", "roof-dark.png"}
    light, dark = drawn
    assert light.get_facecolor() != dark.get_facecolor()
    for figure in drawn:
        for axes, dots in zip(figure.axes, (2, 1), strict=True):
            lines = [line for line in axes.lines if len(line.get_xdata()) > 1]
            assert len(lines) == 4
            assert sum(len(line.get_xdata()) == 1 for line in axes.lines) == dots


def test_the_command_draws_all_ladders_or_one(measured, tmp_path, capsys):
    picture = tmp_path / "roof.svg"
    assert main(["--roofline", str(picture)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "<svg" in picture.read_text()
    assert "1 core: 100 GFLOP/s; L1 " in out
    for name in LADDERS:
        assert re.search(rf"^{name}( +Numba|:)", out, re.M)
    assert main(["matmul", "--roofline", str(picture)]) == 0
    assert re.findall(r"^measuring (?!the)(\w+)", capsys.readouterr().out, re.M) == ["matmul"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--roofline", "roof.txt"], "a picture must end in"),
        (["--roofline", "nowhere/roof.svg"], "there is no folder nowhere"),
        (
            ["--roofline", "roof.svg", "--shape", "1", "2", "3"],
            "--roofline has no use for --shape; leave it out",
        ),
        (["--roofline", "roof.svg", "--plot", "a.svg"], "no use for --plot"),
        (["--explain", "3", "--seconds", "1"], "--explain has no use for --seconds"),
        (["--roofline", "roof.svg", "--explain", "3"], "not allowed with"),
    ],
)
def test_a_bad_command_line_gets_one_line(flags, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(flags) == 2
    assert re.fullmatch(rf"mnistcore ladder: error: .*{message}.*\n", capsys.readouterr().err)
    assert not list(tmp_path.iterdir())


def test_the_caches_of_this_machine_grow_with_their_level():
    sizes = list(roofline._cache_sizes().values())
    assert sizes == sorted(sizes)
