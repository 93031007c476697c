import numpy as np
import pytest
from rich.console import Console

from mnistcore.terminal.tables import confusion_table, facts_table, notice_panel, recipe_list
from mnistcore.training.recipes import RECIPES


def text_of(renderable, width=80):
    console = Console(width=width, record=True, file=open_nothing(), force_terminal=True)
    console.print(renderable)
    return console.export_text()


def open_nothing():
    import io

    return io.StringIO()


def styles_of(renderable, width=80):
    """The background colours of a text, by (line, column)."""
    console = Console(width=width, color_system="truecolor", file=open_nothing())
    found = {}
    for y, line in enumerate(console.render_lines(renderable, pad=False)):
        x = 0
        for segment in line:
            colour = segment.style.bgcolor if segment.style else None
            for offset in range(len(segment.text)):
                found[y, x + offset] = tuple(colour.get_truecolor()) if colour else None
            x += len(segment.text)
    return found


@pytest.fixture
def confusion():
    counts = np.diag(np.full(10, 1000))
    counts[2, 7] = 40
    counts[4, 9] = 10
    return counts


def test_the_matrix_of_mnist_fits_eighty_columns(confusion):
    lines = text_of(confusion_table(confusion, list("0123456789"), 80)).splitlines()
    assert len(lines) == 12
    assert max(map(len, lines)) <= 80
    assert lines[1].split() == [*"0123456789", "accuracy"]
    assert lines[4].split() == ["2", ".", ".", "1000", *"....", "40", ".", ".", "96.15", "%"]


def test_errors_are_coloured_by_their_share_and_apart_from_hits(confusion):
    table = confusion_table(confusion, list("0123456789"), 80)
    colours = styles_of(table)
    line = text_of(table).splitlines()
    hit = colours[2, line[2].index("1000")]
    many, few = colours[4, line[4].index("40")], colours[6, line[6].index(" 10 ") + 1]
    none = colours[2, line[2].index(".")]
    assert hit[2] > hit[0]  # blue
    assert many[0] > few[0] > none[0]  # ever more orange
    assert many[2] < many[0]


def test_long_names_are_cut_and_a_class_without_samples_has_no_accuracy():
    counts = np.array([[0, 0], [1, 3]])
    text = text_of(confusion_table(counts, ["trousers", "shirt"], 80))
    assert "trous" in text
    assert "trouse" not in text
    assert text.splitlines()[2].endswith(" -")


def test_too_many_classes_become_a_line_each():
    counts = np.eye(30, dtype=int) * 5
    counts[3, 8] = 2
    lines = text_of(confusion_table(counts, [f"c{i}" for i in range(30)], 80)).splitlines()
    assert len(lines) == 32
    assert lines[5].split() == ["c3", "7", "71.43", "%", "c8", "(2)"]
    assert lines[6].split() == ["c4", "5", "100.00", "%"]


def test_facts_are_folded_not_cut():
    text = text_of(facts_table({"from": "/a" * 100}))
    assert max(map(len, text.splitlines())) <= 80
    assert text.count("/a") == 100


def test_markup_in_data_is_shown_as_it_is():
    assert "[bold]x[/bold]" in text_of(facts_table({"from": "[bold]x[/bold]"}))
    assert "[red]x" in text_of(notice_panel("[red]x"))


def test_recipes_are_listed_with_what_they_set():
    text = text_of(recipe_list(RECIPES))
    for name, recipe in RECIPES.items():
        assert name in text
        assert recipe.about in text
    assert "hidden 1024 128" in text
    assert max(map(len, text.splitlines())) <= 80
