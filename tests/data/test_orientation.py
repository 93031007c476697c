"""How digits lie, told by the built-in digits; and that letters are no digits."""

from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from mnistcore.data import load_data
from mnistcore.data.orientation import NO_DIGITS, UPRIGHT, look_of
from mnistcore.data.synthetic import make_digits

# What makes upright images lie so.
LYING = {
    "transposed": lambda x: x.transpose(0, 2, 1),
    "mirrored left to right": lambda x: x[:, :, ::-1],
    "mirrored top to bottom": lambda x: x[:, ::-1],
    "upside down": lambda x: np.rot90(x, 2, (1, 2)),
    "turned a quarter clockwise": lambda x: np.rot90(x, -1, (1, 2)),
    "turned a quarter counter-clockwise": lambda x: np.rot90(x, 1, (1, 2)),
    "transposed and upside down": lambda x: np.rot90(x, 2, (1, 2)).transpose(0, 2, 1),
}
KINDS = {
    "bytes": lambda x: x,
    "dark on light": lambda x: 255 - x,
    "0/1": lambda x: (x > 127).astype(np.uint8),
    "floats": lambda x: (x / 255).astype(np.float32),
    "wide": lambda x: np.pad(x, ((0, 0), (0, 0), (10, 30))),
    "without margins": lambda x: x[:, 4:24, 4:24],
    "large": lambda x: x.repeat(5, axis=1).repeat(5, axis=2),
}


@pytest.fixture(scope="module")
def digits():
    return make_digits(400, 7)


@pytest.mark.parametrize("kind", KINDS)
def test_upright_digits_are_upright(digits, kind):
    assert look_of(KINDS[kind](digits[0]), digits[1]) == UPRIGHT


@pytest.mark.parametrize("kind", KINDS)
def test_transposed_digits_are_told(digits, kind):
    assert look_of(KINDS[kind](digits[0]).transpose(0, 2, 1), digits[1]) == "transposed"


@pytest.mark.parametrize("way", LYING)
def test_the_other_ways_are_told_apart(digits, way):
    assert look_of(LYING[way](digits[0]), digits[1]) == way


def test_a_few_dozen_digits_are_enough(digits):
    images, labels = digits
    for start in range(0, 400, 80):
        part = slice(start, start + 80)
        assert look_of(images[part], labels[part]) == UPRIGHT
        assert look_of(images[part].transpose(0, 2, 1), labels[part]) == "transposed"


def test_what_cannot_be_told_is_not_said(digits):
    images, labels = digits
    assert look_of(images[:0], labels[:0]) is None
    assert look_of(images[:20].transpose(0, 2, 1), labels[:20]) is None
    for classes in ([8], [0, 1, 8], [2, 4, 5, 7, 9]):
        rows = np.isin(labels, classes)
        assert look_of(images[rows].transpose(0, 2, 1), labels[rows]) is None
    assert look_of(images, labels + 7) is None
    assert look_of(images.reshape(400, -1), labels) is None
    assert look_of(np.zeros_like(images), labels) == NO_DIGITS


@pytest.mark.parametrize("letters", ["ABCDEFGHIJ", "KLMNOPQRST", "abcdefghij", "αβγδεζηθικ"])
def test_letters_are_no_digits_however_they_lie(letters):
    path = Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSans.ttf")
    font = ImageFont.truetype(path, 22)
    rng = np.random.default_rng(0)
    labels = np.arange(300, dtype=np.int32) % 10
    images = np.zeros((300, 28, 28), np.uint8)
    for image, label in zip(images, labels, strict=True):
        page = Image.new("L", (28, 28))
        place = tuple(14 + rng.integers(-2, 3, 2))
        ImageDraw.Draw(page).text(place, letters[label], fill=255, font=font, anchor="mm")
        image[...] = page.rotate(rng.normal(0, 8))
    assert look_of(images, labels) == NO_DIGITS
    assert look_of(images.transpose(0, 2, 1), labels) == NO_DIGITS


def test_mnist_lies_as_it_should(mnist_dir):
    mnist = load_data("mnist", mnist_dir)
    images, labels = mnist.train_images, mnist.train_labels
    assert look_of(images, labels) == UPRIGHT
    for way, turn in LYING.items():
        assert look_of(turn(images), labels) == way
