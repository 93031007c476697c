"""Text that anyone may have written: escaped, in a line, in a cell, and parsed."""

import csv
import io
import json
import tomllib

import pytest

from mnistcore.system.console import Console
from mnistcore.system.text import csv_row, escaped, one_line, parsed


def test_what_a_terminal_obeys_is_written_out():
    assert escaped("plain é 数字 ▄ 😀") == "plain é 数字 ▄ 😀"
    assert escaped("two\nlines\tand a tab") == "two\nlines\tand a tab"
    assert (
        escaped("\x1b[2J\x07\r\x9b\x7f\0\u202e\u2028") == r"\x1b[2J\x07\r\x9b\x7f\x00\u202e\u2028"
    )


def test_a_line_is_one_and_not_endless():
    assert one_line("a\nb\r\nc\u2028d") == "a b c d"
    assert one_line("x" * 10**7 + " the end").endswith(" the end")
    assert len(one_line("x" * 10**7)) < 2010
    assert len(one_line("\x1b" * 10**7)) < 8100


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("=cmd()", "'=cmd()"), ("+1+cmd()", "'+1+cmd()"), ("@x", "'@x"), ("-x", "'-x"),
        ("\t=x", "'\t=x"), ("-1.5", "-1.5"), ("+3", "+3"), (-2, "-2"), (0.25, "0.25"), ("", ""),
        ("7", "7"), ("a,b", "a,b"), ("\x1b]0;x\x07", r"\x1b]0;x\x07"), ("a\nb", "a\nb"),
    ],
)  # fmt: skip
def test_no_cell_is_a_formula(cell, written):
    line = csv_row(["x", cell])
    assert list(csv.reader(io.StringIO(line, newline=""))) == [["x", written]]


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "[" * 60 + "]" * 60,
        '{"a":' * 900 + "1" + "}" * 900,
        "[1",
        b"\xff",
        " " * 2**25,
    ],
    ids=["very deep", "deep", "deep objects", "open", "no text", "long"],
)
def test_json_that_would_go_too_deep_is_malformed(text):
    with pytest.raises(ValueError, match=r"."):
        parsed(text)


def test_toml_that_would_go_too_deep_is_malformed():
    for text in (".".join("a" * 2000) + " = 1", "a = " + "[" * 9000 + "]" * 9000):
        with pytest.raises(ValueError, match="deep"):
            parsed(text, tomllib.loads)


def test_other_json_is_what_it_was():
    content = {"a": [1, 2.5, None, {"b": [[]]}], "c": "x" * 1000}
    assert parsed(json.dumps(content)) == content


def test_a_console_escapes_text_and_keeps_its_own_colours():
    from rich.table import Table
    from rich.text import Text

    file = io.StringIO()
    console = Console(file=file, force_terminal=True, color_system="truecolor", width=60)
    table = Table("\x1b]0;head\x07")
    table.add_row(Text("\x1b[2Jcell", style="bold red"))
    table.add_row("[bold]no markup[/] :smile: [/x]")
    console.print(table)
    console.print("[link=http://example.org]x[/link] \x1b]8;;http://example.org\x07")
    shown = file.getvalue()
    assert "\x1b]" not in shown
    assert "\x1b[2J" not in shown
    assert "\x07" not in shown
    assert "[bold]no markup[/] :smile: [/x]" in shown
    assert "\x1b[1;31m" in shown
