"""Whole pages: text is refused in one line, forms and lists of numbers are read."""

import time

import nasty_pictures
import numpy as np
import pytest
import written_pages
from PIL import Image

from mnistcore.pictures.files import open_picture, picture_of
from mnistcore.pictures.lines import find_digits
from mnistcore.pictures.marks import NoDigitError
from mnistcore.pictures.reader import DIGITS, Reader
from mnistcore.pictures.reading import read_digit, read_digits


@pytest.fixture(scope="module")
def glyphs():
    return nasty_pictures.pen_glyphs(100, 5, pen=0.09)


@pytest.fixture(scope="module")
def reader():
    """A network that takes everything for a 7, and is sure of it."""
    answer = np.eye(10, dtype=np.float32)[[7]] * 0.94 + 0.006
    return Reader(lambda images: np.repeat(answer, len(images), axis=0), DIGITS)


TEXTS = {
    "printed": lambda: written_pages.text_page(written_pages.PROSE, "DejaVuSerif", 20, 1200, 800),
    "printed, small": lambda: written_pages.text_page(written_pages.PROSE, "DejaVuSans", 16),
    "code": lambda: written_pages.text_page(written_pages.CODE, "DejaVuSansMono", 18),
    "a letter": lambda: written_pages.handwritten_letter(np.random.default_rng(0)),
    "a short letter": lambda: written_pages.handwritten_letter(np.random.default_rng(0), 44, 8),
}


@pytest.mark.parametrize("name", TEXTS)
def test_pages_of_text_are_refused_in_one_line(name, reader):
    picture = picture_of(1 - 0.9 * TEXTS[name]())
    for read in (read_digits, read_digit):
        began = time.process_time()
        with pytest.raises(NoDigitError, match=r"a page of text") as caught:
            read(picture, reader)
        assert "\n" not in str(caught.value)
        assert time.process_time() - began < 10  # five times the aim, for busy machines


def test_the_line_states_the_criterion(reader):
    page = written_pages.handwritten_letter(np.random.default_rng(0), 44, 8)
    words = (
        r"^it looks like a page of text: of 60 of its \d+ marks only \d+ are clearly digits; cut"
    )
    with pytest.raises(NoDigitError, match=words):
        read_digits(picture_of(1 - 0.9 * page), reader)


def found(page, reader):
    pieces, at_edge = find_digits(picture_of(1 - 0.9 * page), *judges(reader))
    assert at_edge == 0
    return len(pieces)


def judges(reader):
    return reader.sure, reader.is_four, reader.is_clear


@pytest.mark.parametrize("titles", [(), ("Date of birth", "Account", "Telephone")], ids=len)
def test_a_form_of_sixty_digits_is_no_page_of_text(glyphs, reader, titles):
    drawn, labels = (part[:66] for part in glyphs)
    page, _ = written_pages.form(np.random.default_rng(0), drawn, labels, titles=titles)
    assert abs(found(page, reader) - 66) <= 2  # a digit of two strokes may be two


def test_a_table_of_numbers_is_no_page_of_text(glyphs, reader):
    page, _ = written_pages.list_of_numbers(np.random.default_rng(0), *glyphs, digits=6)
    assert abs(found(page, reader) - 96) <= 4


def test_a_list_of_names_and_numbers_is_no_page_of_text(glyphs, reader):
    """The names are as many marks as the digits' third, and are left out."""
    page, _ = written_pages.list_of_numbers(
        np.random.default_rng(0), *glyphs, names=written_pages.NAMES
    )
    digits, left_out, _ = read_digits(picture_of(1 - 0.9 * page), reader)
    assert abs(len(digits) - 100) <= 5
    assert left_out > 20


def test_more_digits_than_can_be_read_in_seconds_are_refused(glyphs, reader):
    many, labels = glyphs[0] * 5, np.tile(glyphs[1], 5)
    page, _ = written_pages.list_of_numbers(np.random.default_rng(0), many, labels, digits=20)
    with pytest.raises(NoDigitError, match=r"at most 400 digits are read in a picture; cut it"):
        read_digits(picture_of(1 - 0.9 * page), reader)


def test_a_form_scanned_at_600_dpi_is_read_in_seconds(glyphs, reader, tmp_path):
    """A4, 4,962 x 7,014 pixels, with a grid whose lines are no ink of digits."""
    drawn, labels = (part[:60] for part in glyphs)
    page, _ = written_pages.form(np.random.default_rng(0), drawn, labels, columns=6)
    scan = Image.fromarray(np.uint8(250 - 200 * page)).resize((4962, 7014))
    scan.save(tmp_path / "scan.png", compress_level=1)
    began = time.process_time()
    pieces, _ = find_digits(open_picture(tmp_path / "scan.png"), *judges(reader))
    assert time.process_time() - began < 10  # twice the aim, for busy machines
    assert abs(len(pieces) - 60) <= 2
    assert all(0 <= piece.box[0] < piece.box[2] <= 4962 for piece in pieces)
    assert all(0 <= piece.box[1] < piece.box[3] <= 7014 for piece in pieces)
