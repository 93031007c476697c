import numpy as np
import pytest
from rich.color import ColorSystem
from rich.console import Console
from rich.terminal_theme import DEFAULT_TERMINAL_THEME, MONOKAI

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


def test_the_matrix_of_mnist_fits_sixty_columns_too(confusion):
    lines = text_of(confusion_table(confusion, list("0123456789"), 60), 60).splitlines()
    assert len(lines) == 12
    assert max(map(len, lines)) == 60
    assert lines[4].split() == ["2", ".", ".", "1000", *"....", "40", ".", ".", "96.15", "%"]


@pytest.mark.parametrize("system", ["truecolor", "256", "standard", None])
@pytest.mark.parametrize("theme", [DEFAULT_TERMINAL_THEME, MONOKAI], ids=["light", "dark"])
def test_every_cell_can_be_read_in_any_number_of_colours(confusion, system, theme):
    console = Console(width=80, color_system=system, file=open_nothing(), force_terminal=True)
    confusion += np.arange(100).reshape(10, 10) // 4
    confusion[0, 1:4] = 0
    table = confusion_table(confusion, list("0123456789"), 80, colours=console.color_system)
    depth = {"truecolor": ColorSystem.TRUECOLOR, "256": ColorSystem.EIGHT_BIT}.get(
        system, ColorSystem.STANDARD
    )
    papers = set()
    for line in console.render_lines(table):
        for segment in line:
            style = segment.style
            if system is None or not style or not style.bgcolor:
                continue  # in the terminal's own colours
            ink, paper = style.color.downgrade(depth), style.bgcolor.downgrade(depth)
            pair = ink.get_truecolor(theme), paper.get_truecolor(theme, foreground=False)
            low, high = sorted(map(luminance, pair))
            assert (high + 0.05) / (low + 0.05) >= 4.0, (segment.text, pair)
            papers.add(pair[1])
    assert len(papers) >= (0 if system is None else 3)


def luminance(colour):
    linear = [c / 255 / 12.92 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
    return sum(share * c for share, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


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
    assert [line.rstrip() for line in lines[33:]] == [
        "The confusion matrix needs 162 columns and is left out, as there are 80;",
        "mnistcore report draws it.",
    ]
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
