import io
from types import SimpleNamespace

from rich.console import Console
from small_search import optuna

from mnistcore.search.display import (
    LiveDisplay,
    PlainDisplay,
    QuietDisplay,
    best_table,
    live_view,
    spelled,
    trial_line,
)
from mnistcore.search.results import Standing, TrialRecord

assert optuna  # the trials are its

POINT = {
    "optimizer": "adamw", "layers": 2, "units": 480, "activation": "relu", "batch_size": 128,
    "learning_rate": 0.00234, "weight_decay": 1.234e-06, "dropout": 0.123,
}  # fmt: skip


def record(number, state="complete", accuracy=0.98, reports=3):
    return TrialRecord(number, state, accuracy, 0.1, POINT, reports, "epoch", 12.34, "here:1")


def drawn(what, width):
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(what)
    return console.export_text()


def test_a_point_is_spelled_with_names_where_words_do_not_speak():
    assert spelled({"activation": "relu", "hidden": "32", "learning_rate": 0.00234}) == (
        "relu, hidden 32, learning rate 0.00234"
    )


def test_values_near_1_are_not_rounded_to_it():
    assert spelled({"ema": 0.9995, "augment_strength": 1.25}) == (
        "ema 0.9995, augment strength 1.25"
    )


def test_what_a_training_should_be_told_a_search_is_told(capsys):
    job = SimpleNamespace(notices=("The teacher was trained on other data.",))
    QuietDisplay().started(SimpleNamespace(job=job))
    assert capsys.readouterr().err == "The teacher was trained on other data.\n"


def test_a_finished_trial_is_a_line():
    line = trial_line(record(7), 20, 3, record(7))
    assert line.startswith("trial  7  98.00 %  12.3 s  best so far  adamw, layers 2,")
    assert line.endswith("  (3 of 20 done)")
    assert "diverged" in trial_line(record(8, "pruned", None, 0), 20, 4, record(7))


def test_tables_cut_nothing_at_any_width():
    standing = Standing([record(0), record(1, "pruned")], [record(2, "running")], 0)
    for width in (40, 60, 80, 100, 130):
        for what in (best_table(standing, width), live_view(standing, 20, 75.0, width)):
            text = drawn(what, width)
            assert "…" not in text
            assert max(map(len, text.splitlines())) <= width
    assert "learning" in drawn(best_table(standing, 130), 130).splitlines()[1]


def test_the_live_view_counts():
    standing = Standing([record(0), record(1, "pruned")], [record(2, "running")], 1)
    text = drawn(live_view(standing, 20, 75.0, 100), 100)
    assert "2/20 trials, 1 pruned, 1 lost, about 1 min 15 s left" in text
    assert "best so far 98.00 %  trial 0" in text
    assert "epoch 3" in text


def test_the_live_view_fits_the_screen_with_its_bar():
    standing = Standing([record(0)], [record(i, "running") for i in range(1, 30)], 0)
    for width, height in ((60, 24), (80, 24), (120, 30), (80, 8)):
        lines = drawn(live_view(standing, 40, 75.0, width, height), width).splitlines()
        assert len(lines) <= height
        assert "1/40 trials" in lines[-1] + lines[-2]
        assert any("more" in line or "29 running" in line for line in lines)


def test_best_so_far_is_better_than_every_line_above():
    console = Console(width=200, file=io.StringIO())
    display = PlainDisplay(console)
    display._wanted = 4
    display.looked(Standing([], [], 0))
    accuracies = (0.97, 0.96, 0.98, 0.975)  # all four end between two looks
    display.looked(Standing([record(i, accuracy=a) for i, a in enumerate(accuracies)], [], 0))
    lines = console.file.getvalue().splitlines()
    assert ["best so far" in line for line in lines] == [True, False, True, False]


def test_lines_on_a_terminal_are_wrapped_and_indented():
    console = Console(width=60, file=io.StringIO())
    LiveDisplay(console)._line(trial_line(record(7), 20, 3, None))
    first, *others = console.file.getvalue().splitlines()
    assert first.startswith("trial  7")
    assert others
    assert all(line.startswith(" " * 7) and len(line) <= 60 for line in others)
