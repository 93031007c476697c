import io

import numpy as np
import pytest

from mnistcore.system.console import Console
from mnistcore.terminal.half_blocks import half_blocks

PLAIN = Console(file=io.StringIO(), color_system=None)
COLOURS = Console(file=io.StringIO(), color_system="truecolor", force_terminal=True)
LETTERS = Console(file=io.TextIOWrapper(io.BytesIO(), "ascii"), color_system=None)


def test_two_rows_make_a_line():
    pixels = np.array([[0, 255, 0, 255], [0, 0, 255, 255]], np.uint8)
    assert half_blocks(pixels, PLAIN).plain == " ▀▄█"


def test_without_unicode_there_are_letters():
    pixels = np.array([[0, 255, 0, 255], [0, 0, 255, 255]], np.uint8)
    assert half_blocks(pixels, LETTERS).plain == " '.#"


def test_an_odd_row_is_completed_with_darkness():
    assert half_blocks(np.full((3, 1), 200, np.uint8), COLOURS).plain == "▀\n▀"
    assert half_blocks(np.array([[0], [9], [9]], np.uint8), PLAIN).plain == "▄\n▀"


def test_shades_become_colours():
    text = half_blocks(np.array([[255], [0]], np.uint8), COLOURS)
    assert [str(span.style) for span in text.spans] == ["#ffffff on #000000"]


@pytest.mark.parametrize("value", [0, 255])
def test_one_grey_all_over(value):
    assert half_blocks(np.full((2, 2), value, np.uint8), PLAIN).plain == "  "
