"""Networks whose classes are letters: what they answer, in every form of output."""

import csv
import dataclasses
import io
import json

import nasty_pictures
import not_digits
import numpy as np
import pytest
from PIL import Image

from mnistcore.__main__ import main
from mnistcore.models import checkpoint
from mnistcore.models.model import Model, TrainedOn
from mnistcore.models.network import Network
from mnistcore.pictures.frame import normalised
from mnistcore.predict import predict_pictures
from mnistcore.terminal.command_line import DONE

LETTERS = tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
# The classes of EMNIST's balanced set, where capitals stand for both if they look alike.
BALANCED = tuple("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt")
ODD = ("Aa", "b,c", "é", "お", "A", "A", "[x]")  # long, with commas, not ASCII, twice, markup


def model_of(shapes, names):
    """A network that finds the nearest of some shapes: one layer, by least squares."""
    network = Network((784, len(names)), "relu")
    params = np.zeros(network.n_params, np.float32)
    ((weights, bias),) = network.views(params)
    for index, shape in enumerate(shapes):
        (image,) = normalised(np.pad(shape, 5).astype(np.float32))
        weights[:, index] = image.ravel() / 255
        bias[index] = -0.5 * (weights[:, index] ** 2).sum()
    return Model(network, params, (28, 28), 1 / 255, 0.0, tuple(names))


def typed(names):
    return [not_digits.typed(name) for name in names]


def on_paper(shape):
    return nasty_pictures.encoded(1 - 0.9 * np.pad(shape, 60))


@pytest.fixture(scope="module")
def model():
    return model_of(typed(LETTERS), LETTERS)


@pytest.fixture
def place(tmp_path, monkeypatch, model):
    monkeypatch.chdir(tmp_path)
    checkpoint.save(tmp_path / "letters.safetensors", model)
    (tmp_path / "K.png").write_bytes(on_paper(not_digits.typed("K")))
    word = nasty_pictures.number(np.random.default_rng(0), [typed("MILK"), typed("TEA")])
    (tmp_path / "words.png").write_bytes(word)
    return tmp_path


def predict(*arguments):
    return main(["predict", "letters.safetensors", "--backend", "numpy", *arguments])


@pytest.mark.parametrize("names", [LETTERS, BALANCED], ids=["26", "47"])
def test_letters_are_read_and_none_is_refused_for_being_no_digit(names):
    model = model_of(typed(names), names)
    pictures = [on_paper(shape) for shape in typed(names)]
    readings = list(predict_pictures(model, pictures, backend="numpy"))
    right = [reading.character == name for reading, name in zip(readings, names, strict=True)]
    assert sum(right) >= len(names) - 2
    assert all(r.digit == (int(r.character) if r.character.isdigit() else None) for r in readings)
    assert {reading.noun for reading in readings} == {"character"}


def test_a_letter_is_prepared_as_a_digit_is(model):
    """In MNIST's box, centred by its mass: the view equals that of the bare shape."""
    for name in "AKU":
        (reading,) = predict_pictures(model, [on_paper(not_digits.typed(name))], backend="numpy")
        (wanted,) = normalised(np.pad(not_digits.typed(name), 5).astype(np.float32))
        seen = reading.digits[0].seen
        assert np.corrcoef(seen.ravel(), wanted.ravel())[0, 1] > 0.97
        rows = np.flatnonzero(seen.max(axis=1) > 127)
        columns = np.flatnonzero(seen.max(axis=0) > 127)
        assert max(np.ptp(rows), np.ptp(columns)) in (18, 19)


def test_an_image_in_the_frame_reaches_the_network_as_it_is(model):
    (image,) = normalised(np.pad(not_digits.typed("W"), 5).astype(np.float32))
    (reading,) = predict_pictures(model, [image], backend="numpy")
    np.testing.assert_array_equal(reading.digits[0].seen, image)
    assert reading.character == "W"


def test_words_are_read_not_left_out(place, capsys):
    assert predict("--many", "words.png", "K.png") == DONE
    words, letter = capsys.readouterr().out.splitlines()
    assert words.startswith("words.png: MILK / TEA  (least sure is character ")
    assert "left out" not in words
    assert letter.startswith("K.png: K  (")
    assert predict("words.png") == DONE
    assert capsys.readouterr().out == (
        "words.png: 7 characters found, none read: --many reads several\n"
    )


def test_refusals_speak_of_characters(place, capsys):
    (place / "dot.png").write_bytes(nasty_pictures.encoded(1 - 0.9 * np.pad(np.ones((60, 60)), 60)))
    assert predict("dot.png") == DONE
    out = capsys.readouterr().out
    assert out.startswith("dot.png: no character found: ")
    assert "digit" not in out


def test_json_and_csv(place, capsys):
    assert predict("--json", "K.png") == DONE
    (entry,) = json.loads(capsys.readouterr().out)
    assert set(entry) == {"path", "class_names", "character", "probabilities", "found"}
    assert (entry["character"], entry["class_names"]) == ("K", list(LETTERS))
    assert len(entry["probabilities"]) == 26
    assert predict("--json", "--many", "words.png") == DONE
    (entry,) = json.loads(capsys.readouterr().out)
    assert [character["character"] for character in entry["characters"]] == list("MILKTEA")
    assert predict("--csv", "K.png") == DONE
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert list(row) == ["path", "character", *(f"p{name}" for name in LETTERS)]
    assert row["character"] == "K"


def test_drawings_show_the_ten_likeliest(place, capsys):
    assert predict("--show", "K.png", "--pictures", "sheets") == DONE
    out = capsys.readouterr().out
    lines = [line.rstrip() for line in out.splitlines()]
    assert sum(line.endswith(" %") or line[-1:] in LETTERS for line in lines[1:]) >= 1
    assert max(map(len, lines)) <= 80
    assert Image.open("sheets/K.png").size[0] >= 640
    assert predict("--show", "--many", "words.png") == DONE
    assert "M  " in capsys.readouterr().out


@pytest.mark.parametrize("form", [[], ["--json"], ["--csv"], ["--show"]], ids=str)
@pytest.mark.parametrize("many", [[], ["--many"]], ids=str)
def test_names_of_any_kind_break_no_table(place, capsys, form, many):
    shapes = [not_digits.typed(name) for name in "ABCKEUZ"]
    odd = model_of(shapes, ODD)
    checkpoint.save("letters.safetensors", odd)
    for index, shape in enumerate(shapes):
        (place / f"{index}.png").write_bytes(on_paper(shape))
    files = [f"{index}.png" for index in range(len(shapes))]
    assert predict(*files, *form, *many, "--pictures", f"sheets{form}{many}") == DONE
    out = capsys.readouterr().out
    if form == ["--csv"]:
        rows = list(csv.DictReader(io.StringIO(out)))
        assert [row["character"] for row in rows] == list(ODD)
        assert all(len(row) == 2 + 5 * bool(many) + len(ODD) for row in rows)
        assert {"pA", "pA (2)", "pb,c"} <= set(rows[0])
    elif form == ["--json"]:
        assert [entry["class_names"] for entry in json.loads(out)] == [list(ODD)] * len(files)
    else:
        for name, file in zip(ODD, files, strict=True):
            assert f"{file}: {name}  (" in out


def test_long_names_are_set_apart_in_the_text(place):
    shapes = [not_digits.typed(name) for name in "ABCKEUZ"]
    line = nasty_pictures.number(np.random.default_rng(0), [shapes[:3]])
    (reading,) = predict_pictures(model_of(shapes, ODD), [line], many=True, backend="numpy")
    assert reading.text == "Aa b,c é"


@pytest.mark.parametrize("names", ["38", "98765"])
def test_a_network_of_some_digits_answers_with_them(names):
    glyphs, labels = nasty_pictures.pen_glyphs(60, 1, pen=0.1)
    shapes = [glyphs[list(labels).index(int(name))] for name in names]
    (reading,) = predict_pictures(model_of(shapes, names), [on_paper(shapes[1])], backend="numpy")
    assert (reading.digit, reading.text, reading.noun) == (int(names[1]), names[1], "digit")


@pytest.mark.parametrize(("look", "told"), [("no digits", False), ("transposed", True)])
def test_doubts_about_letters(place, capsys, model, look, told):
    """Letters should not look like digits, but letters on their side are worth a word."""
    data = TrainedOn("EMNIST", "0" * 64, look=look)
    checkpoint.save("letters.safetensors", dataclasses.replace(model, data=data))
    assert predict("K.png") == DONE
    err = capsys.readouterr().err
    assert ("misread pictures of characters" in err) == told
    assert told or not err
