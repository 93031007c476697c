import tomllib
from itertools import pairwise

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from small_search import optuna

from mnistcore.search.figures import history, importances, parallel_coordinates
from mnistcore.search.results import Standing, TrialRecord, write_best
from mnistcore.search.space import Choices
from mnistcore.training.config import TrainConfig

assert optuna  # the results are those of its trials


def record(number, accuracy, state="complete", loss=0.1, **point):
    return TrialRecord(number, state, accuracy, loss, point, 3, "epoch", 1.0, "here:1")


RECORDS = [
    record(0, 0.91, units=10, rate=0.001, hidden="16-8"),
    record(1, 0.95, units=20, rate=0.1, hidden="8"),
    record(2, 0.50, "pruned", None, units=30, rate=0.01, hidden="8"),
    record(3, None, "pruned", None, units=30, rate=0.01, hidden="8"),  # diverged at once
]


def test_the_winner_has_the_highest_accuracy_then_the_lowest_loss():
    tied = [record(4, 0.95, loss=0.05), record(5, 0.95, loss=0.05)]
    assert Standing([*RECORDS, *tied], [], 0).winner.number == 4
    assert Standing([record(6, 0.99, "pruned", None)], [], 0).winner is None
    ranked = Standing([*RECORDS, *tied], [], 0).ranked()
    assert [r.number for r in ranked] == [4, 5, 1, 0, 2, 3]


def test_history_shows_every_trial_and_the_best_so_far():
    axes = history(RECORDS).axes[0]
    lines = {line.get_label(): line for line in axes.lines}
    assert list(lines["trained to the end"].get_xydata()[:, 1]) == [91.0, 95.0]
    assert list(lines["best so far"].get_ydata()) == [91.0, 95.0, 95.0]
    assert list(lines["best so far"].get_xdata()) == [0, 1, 3]
    assert list(lines["ended early, its last report, below 90.68 %"].get_xdata()) == [2]


def test_history_clips_no_marker_at_an_edge():
    accuracies = (0.97, 0.971, 0.972, 0.973, 0.974, 0.1, 0.9)
    records = [record(i, a) for i, a in enumerate(accuracies)]
    figure = history([*records, record(7, 0.2, "pruned", None)])
    FigureCanvasAgg(figure).draw()
    (axes,) = figure.axes
    markers = [line for line in axes.lines if line.get_label() != "best so far"]
    assert sum(len(line.get_xdata()) for line in markers) == 8
    radius = 3 * figure.dpi / 72
    for line in markers:
        for x, y in axes.transData.transform(line.get_xydata()):
            assert axes.bbox.x0 + radius <= x <= axes.bbox.x1 - radius
            assert axes.bbox.y0 + radius <= y <= axes.bbox.y1 - radius


def ticks_of(values, log=False):
    records = [record(i, 0.9 + i / 1000, x=value) for i, value in enumerate(values)]
    axes = parallel_coordinates(records, {"x"} if log else ()).axes[0]
    shown = [(t.get_position()[1], t.get_text()) for t in axes.texts if t.get_position()[0] < 1]
    assert all(b[0] - a[0] > 0.05 for a, b in pairwise(shown))
    return [text for _, text in shown]


def test_ticks_of_parallel_coordinates_are_short_numbers_apart_from_each_other():
    assert ticks_of([0.1, 0.1 + 0.2, 0.2]) == ["0.1", "0.2", "0.3"]
    assert ticks_of([0.0023 + i / 37 for i in range(8)]) == ["0.05", "0.1", "0.15"]
    assert ticks_of([1.1e-6, 8.1e-4, 1e-5, 1e-4, 3e-5, 2e-5], log=True) == [
        "3e-6", "1e-5", "3e-5", "0.0001", "0.0003",
    ]  # fmt: skip
    assert ticks_of([144, 507, 200, 301, 333, 402], log=True) == ["150", "200", "300", "500"]
    assert ticks_of([1, 2, 3]) == ["1", "2", "3"]
    assert ticks_of([0.12345, 0.12346]) != ["0.123", "0.123"]
    assert ticks_of([64, 128, 256], log=True) == ["64", "128", "256"]
    assert ticks_of([0.5]) == ["0.5"]
    assert ticks_of(["relu", "tanh"]) == ["relu", "tanh"]
    assert ticks_of([True, False]) == ["off", "on"]
    assert len(ticks_of([f"{i}-{i}" for i in range(1, 60)])) < 20


def test_a_trial_that_learnt_nothing_does_not_squash_the_others():
    accuracies = (0.97, 0.971, 0.972, 0.973, 0.974, 0.1)
    low, high = history([record(i, a) for i, a in enumerate(accuracies)]).axes[0].get_ylim()
    assert low > 96
    assert high > 97.4


def test_importances_are_bars_with_the_largest_on_top():
    axes = importances({"learning_rate": 0.7, "units": 0.3}).axes[0]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([30, 70])
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == ["units", "learning rate"]


def test_parallel_coordinates_put_values_where_they_belong():
    axes = parallel_coordinates(RECORDS, {"rate"}).axes[0]
    (best,) = [line for line in axes.lines if line.get_linewidth() > 2]
    units, rate, hidden, _ = best.get_ydata()
    assert units == pytest.approx(0.5)  # 20 between 10 and 30
    assert rate == pytest.approx(1.0)
    assert hidden == pytest.approx(0.25)  # 8 comes before 16-8


def test_the_orange_line_is_the_winner_among_equals():
    tied = [record(0, 0.95, loss=0.1, units=10), record(1, 0.95, loss=0.3, units=20)]
    axes = parallel_coordinates(tied).axes[0]
    (best,) = [line for line in axes.lines if line.get_linewidth() > 2]
    assert best.get_ydata()[0] == 0


def test_best_toml_is_read_back_whatever_the_paths(tmp_path):
    config = TrainConfig(data='/\U0001d11e/\x7f"\\')
    write_best(tmp_path, config, record(0, 0.9), "search")
    assert tomllib.loads((tmp_path / "best.toml").read_text("utf-8"))["data"] == config.data


@pytest.mark.parametrize("records", [[], RECORDS[2:], RECORDS[:1]])
def test_there_is_a_figure_however_few_the_trials(records):
    for figure in (history(records), parallel_coordinates(records), importances({})):
        assert isinstance(figure, Figure)
        figure.canvas.draw()


def test_choices_by_doubling_are_logarithmic():
    assert Choices((64, 128, 256)).log
    assert not Choices((1, 2, 3)).log
    assert not Choices((0.0, 0.1, 0.2)).log
    assert not Choices(("relu", "tanh", "logistic")).log
