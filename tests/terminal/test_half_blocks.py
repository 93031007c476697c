import numpy as np
import pytest

from mnistcore.terminal.half_blocks import half_blocks


def test_two_rows_make_a_line():
    pixels = np.array([[0, 255, 0, 255], [0, 0, 255, 255]], np.uint8)
    assert half_blocks(pixels, colour=False).plain == " ▀▄█"


def test_an_odd_row_is_completed_with_darkness():
    assert half_blocks(np.full((3, 1), 200, np.uint8), colour=True).plain == "▀\n▀"
    assert half_blocks(np.array([[0], [9], [9]], np.uint8), colour=False).plain == "▄\n▀"


def test_shades_become_colours():
    text = half_blocks(np.array([[255], [0]], np.uint8), colour=True)
    assert [str(span.style) for span in text.spans] == ["#ffffff on #000000"]


@pytest.mark.parametrize("value", [0, 255])
def test_one_grey_all_over(value):
    assert half_blocks(np.full((2, 2), value, np.uint8), colour=False).plain == "  "
