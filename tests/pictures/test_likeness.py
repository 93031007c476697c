"""What tells digits from other ink: its features, its training, and the file in the package."""

import numpy as np
import pytest

import benchmarks.likeness.__main__ as teach_likeness
from benchmarks.likeness.other_ink import draw_other_ink
from mnistcore.data.synthetic import make_digits
from mnistcore.models import checkpoint
from mnistcore.pictures.likeness import WEIGHTS, digit_margins, features, likeness

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def digits():
    return make_digits(3000, 5)


@pytest.fixture(scope="module")
def others(digits):
    return draw_other_ink(np.random.default_rng(1), *digits, 1000)


def test_features_are_edges_by_direction_and_ink():
    """A square of light: each side in one channel, in the cells where it lies."""
    image = np.zeros((1, 28, 28), np.uint8)
    image[0, 8:20, 8:20] = 255
    ink, right, _, down, _, left, _, up, _ = features(image)[0].reshape(9, 7, 7)
    inside = np.zeros((7, 7), bool)
    inside[2:5, 2:5] = True
    np.testing.assert_array_equal(ink, 255 * inside)
    for channel, columns in ((right, (1, 2)), (left, (4, 5))):
        assert set(np.flatnonzero(channel.max(axis=0))) == set(columns)
    for channel, rows in ((down, (1, 2)), (up, (4, 5))):
        assert set(np.flatnonzero(channel.max(axis=1))) == set(rows)
    assert features(np.zeros((2, 28, 28), np.uint8)).max() == 0


def test_other_ink_is_in_the_frame_and_is_the_same_for_a_seed(digits, others):
    assert others.shape[1:] == (28, 28)
    assert others.dtype == np.uint8
    rows, columns = others.any(axis=2), others.any(axis=1)
    assert ((rows.sum(axis=1) <= 21) & (columns.sum(axis=1) <= 21)).all()
    assert (others.max(axis=(1, 2)) > 127).all()
    again = draw_other_ink(np.random.default_rng(1), *digits, 1000)
    np.testing.assert_array_equal(others, again)


def test_teaching_tells_drawn_ink_from_digits(digits, others):
    """In small, with the built-in digits alone: what is drawn with another seed is refused."""
    images, labels = digits
    held_out = make_digits(1000, 6)[0]
    model = teach_likeness.teach(images, labels, held_out, others=2000, epochs=5)
    least = model.config["least"]
    assert (likeness(model, held_out[:, None]) < least).mean() == pytest.approx(
        teach_likeness.REFUSED, abs=1e-3
    )
    assert (likeness(model, others[:, None]) < least).mean() > 0.35  # a judge by chance: 0.005


def test_teaching_writes_a_file_like_the_one_in_the_package(digits, tmp_path, monkeypatch):
    from mnistcore.data import Dataset

    few = [part[:600] for part in digits]
    mnist = Dataset("mnist", *few, *few, tuple("0123456789"), "drawn")
    monkeypatch.setattr(teach_likeness, "load_data", lambda data: mnist)
    for name, value in (("HELD_OUT", 300), ("OTHERS", 200), ("EPOCHS", 1)):
        monkeypatch.setattr(teach_likeness, name, value)
    teach_likeness.main(["--output", str(tmp_path / "new.safetensors")])
    new, shipped = checkpoint.load(tmp_path / "new.safetensors"), checkpoint.load(WEIGHTS)
    assert new.network == shipped.network
    assert new.class_names == shipped.class_names
    assert new.config.keys() == shipped.config.keys() == {"least"}


def test_built_in_digits_pass():
    images = make_digits(2000, 7)[0]
    assert (digit_margins(images[:, None]) < 0).mean() <= 0.01


def test_drawn_ink_is_refused(others):
    assert (digit_margins(others[:, None]) < 0).mean() >= 0.8
