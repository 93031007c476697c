"""What predict does with what is no digit, and that it lets digits pass."""

import dataclasses
import json
from pathlib import Path

import nasty_pictures
import not_digits
import numpy as np
import pytest

from mnistcore.__main__ import main
from mnistcore.data import load_data
from mnistcore.models import checkpoint
from mnistcore.pictures.likeness import digit_margins
from mnistcore.predict import predict_pictures, summary
from mnistcore.terminal.command_line import DONE
from mnistcore.train import TrainConfig
from mnistcore.train import run as train_run

pytestmark = pytest.mark.slow

UNLIKE = "nothing there resembles a digit"
IN_A_WORD = "the mark is part of a sign or of a word"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The default network, trained on the built-in digits."""
    output = tmp_path_factory.mktemp("refusal") / "run"
    train_run(TrainConfig(data="synthetic", epochs=3, output=str(output)))
    return output


@pytest.fixture(scope="module")
def model(run):
    return checkpoint.load(run)


def on_paper(shape):
    return nasty_pictures.encoded(1 - 0.9 * np.pad(shape, 60))


def test_nine_of_ten_pictures_of_no_digit_are_refused(model):
    """Of 100, in five sorts; and most of every sort."""
    pictures = not_digits.pictures(0)
    readings = predict_pictures(model, [content for _, _, content in pictures])
    refused = np.array([reading.digit is None for reading in readings])
    assert len(refused) == 100
    assert refused.mean() >= 0.9
    sorts = np.array([sort for sort, _, _ in pictures])
    for sort in ("letter", "word", "symbol", "doodle", "nothing"):
        assert refused[sorts == sort].mean() >= 0.75, sort


def test_pictures_of_digits_are_read(model):
    """What is drawn with pens, on the same kinds of paper."""
    rng = np.random.default_rng(1)
    glyphs, labels = nasty_pictures.pen_glyphs(100, 4, pen=0.07)
    pictures = [not_digits.shown(glyph, rng) for glyph in glyphs]
    read = [reading.digit for reading in predict_pictures(model, pictures)]
    assert read.count(None) <= 1
    assert np.mean(np.array(read, float) == labels) >= 0.85


def test_mnist_passes(mnist_dir):
    """At most a hundredth of a quarter of the test images, on which nothing was chosen."""
    images = load_data("mnist", mnist_dir).test_images[::4, None]
    margins = np.concatenate([digit_margins(part) for part in np.split(images, 5)])
    assert (margins < 0).mean() <= 0.01


@pytest.mark.parametrize("text", ["?", "x", "K", "Hello", "4 apples", "smiley"])
def test_examples(model, text):
    shape = not_digits.drawing(text) if text == "smiley" else not_digits.typed(text)
    (reading,) = predict_pictures(model, [on_paper(shape)])
    assert (reading.digit, reading.probabilities, reading.text) == (None, None, "")
    assert reading.reason
    assert not reading.error


def test_a_letter_that_is_a_digit_elsewhere_is_none_in_a_word(model):
    """The o is the most prominent mark of "fox", and alone it is read."""
    words = [on_paper(not_digits.typed(text)) for text in ("o", "fox", "vox")]
    alone, *inside = predict_pictures(model, words)
    assert alone.digit == 0
    for reading in inside:
        assert reading.digit is None
        assert reading.reason == IN_A_WORD


def test_digits_beside_a_digit_are_no_reason_to_refuse(model):
    (reading,) = predict_pictures(model, [on_paper(not_digits.typed("3 5"))])
    assert reading.reason != IN_A_WORD


def test_words_among_numbers_are_left_out_and_counted(model):
    pictures = [on_paper(not_digits.typed(text)) for text in ("35 kHz", "Hemp", "2 3 5")]
    mixed, word, number = predict_pictures(model, pictures, many=True)
    assert (mixed.text, mixed.left_out) == ("35", 3)
    assert summary(mixed).endswith("; left out 3 marks that resemble no digit)")
    one = dataclasses.replace(mixed, left_out=1)
    assert summary(one).endswith("; left out 1 mark that resembles no digit)")
    assert (word.digits, word.reason) == ((), UNLIKE)
    assert (number.text, number.left_out) == ("235", 0)


def test_what_the_command_says(run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("x.png").write_bytes(on_paper(not_digits.typed("x")))
    assert main(["predict", str(run), "x.png"]) == DONE
    assert capsys.readouterr().out == f"x.png: no digit found: {UNLIKE}\n"
    assert main(["predict", str(run), "x.png", "--json"]) == DONE
    wanted = {"path": "x.png", "digit": None, "probabilities": None, "found": 0, "reason": UNLIKE}
    assert json.loads(capsys.readouterr().out) == [wanted]
    assert main(["predict", str(run), "x.png", "--json", "--many"]) == DONE
    wanted = {"path": "x.png", "text": "", "digits": [], "left_out": 0, "at_edge": 0}
    wanted["reason"] = UNLIKE
    assert json.loads(capsys.readouterr().out) == [wanted]
