"""Arrays as people hold them: what becomes of each kind, and what is refused."""

import numpy as np
import pytest
from PIL import Image

from mnistcore.data import Dataset
from mnistcore.data.arrays import from_arrays, images_of, labels_of

RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (6, 4, 4), np.uint8)
Y = np.arange(6) % 3


class Frame:
    """What this package sees of a pandas frame or series."""

    def __init__(self, values):
        self._values = np.asarray(values)

    def __array__(self, dtype=None, copy=None):
        return self._values


class Sparse:
    """What this package sees of a SciPy matrix."""

    def __init__(self, values):
        self._values = values

    def toarray(self):
        return self._values


SAME_IMAGES = {
    "bytes": X,
    "int64": X.astype(np.int64),
    "big-endian": X.astype(">i4"),
    "rows": X.reshape(6, 16),
    "channel last": X[..., None],
    "channel first": X[:, None],
    "lists": X.tolist(),
    "list of arrays": list(X),
    "Fortran order": np.asfortranarray(X),
    "frame": Frame(X.reshape(6, 16)),
    "frame of objects": Frame(X.reshape(6, 16).astype(np.int64)),
    "sparse": Sparse(X.reshape(6, 16)),
    "pictures": [Image.fromarray(image) for image in X],
    "colour pictures": [Image.fromarray(image).convert("RGB") for image in X],
}


@pytest.mark.parametrize("x", SAME_IMAGES.values(), ids=SAME_IMAGES.keys())
def test_the_same_images_in_many_forms(x):
    images = images_of(x)
    np.testing.assert_array_equal(images, X)
    assert images.dtype == np.uint8
    assert images.flags.c_contiguous


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("scale", [1, 1 / 256])
def test_floats_stay_what_they_are(dtype, scale):
    x = (X * scale).astype(dtype)
    images = images_of(x)
    assert images.dtype == np.float32
    np.testing.assert_array_equal(images, x)


def test_booleans_are_bytes_and_large_integers_floats():
    assert images_of(X > 100).dtype == np.uint8
    images = images_of(X.astype(np.int32) * 100 - 5)
    np.testing.assert_array_equal(images, X * np.float32(100) - 5)


def test_pictures_of_16_bits_keep_their_shades():
    """As folders of them do; Pillow's own conversion would cut them off at 255."""
    pictures = [Image.fromarray(x.astype(np.uint16) * 257) for x in X]
    np.testing.assert_array_equal(images_of(pictures), X)
    half = Image.new("LA", (4, 4))
    with pytest.raises(ValueError, match=r"x\[0\]: has I pixels of 32 bits; save it with 8"):
        images_of([Image.new("I", (4, 4))] * 2)
    half.putpixel((1, 1), (0, 255))  # black ink on a transparent ground
    assert images_of([half])[0].tolist()[1] == [255, 0, 255, 255]


def test_masked_values_are_refused():
    with pytest.raises(ValueError, match=r"^x has masked values; fill them in"):
        images_of(np.ma.masked_greater(X, 200))
    with pytest.raises(ValueError, match=r"^y has masked values"):
        labels_of(np.ma.masked_equal(Y, Y[0]))


def test_torch_tensors():
    torch = pytest.importorskip("torch")
    x = torch.tensor(X / 256, dtype=torch.float32, requires_grad=True)
    np.testing.assert_array_equal(images_of(x[:, None]), np.float32(X / 256))
    np.testing.assert_array_equal(labels_of(torch.tensor(Y)), Y)


def test_scikit_learns_digits():
    datasets = pytest.importorskip("sklearn.datasets")
    digits = datasets.load_digits()
    raw = from_arrays(digits.data, digits.target)
    np.testing.assert_array_equal(raw.train.images, digits.images)
    np.testing.assert_array_equal(raw.train.labels, digits.target)


BAD_IMAGES = {
    "NaN": (np.where(np.arange(6)[:, None, None] == 2, np.nan, X), ValueError, "not finite"),
    "infinity": (np.full(X.shape, np.inf), ValueError, "not finite"),
    "too large": (X * 1e300, ValueError, "not finite"),
    "complex": (X * 1j, TypeError, "x holds complex128"),
    "objects": (X.astype(object), TypeError, "x holds Python objects"),
    "names": (X.astype(str), TypeError, "x holds <U3"),
    "one row": (X[0, 0], ValueError, r"shape \(4,\); it must be \(N, H, W\)"),
    "not square": (X.reshape(6, 16)[:, :15], ValueError, "15 pixels are no square"),
    "colour": (np.stack([X] * 3, -1), ValueError, "convert the colours to grey"),
    "volumes": (X.reshape(6, 2, 2, 2, 2), ValueError, "it must be"),
    "none": (X[:0], ValueError, "holds no pixels"),
    "ragged": ([[1, 2], [3]], ValueError, "no array of equal rows"),
    "nothing": (None, TypeError, "Python objects"),
    "pictures of two sizes": (
        [Image.new("L", (4, 4)), Image.new("L", (4, 5))],
        ValueError,
        "images of 4 x 4 and 4 x 5 pixels; resize them",
    ),
}


@pytest.mark.parametrize(("x", "error", "words"), BAD_IMAGES.values(), ids=BAD_IMAGES.keys())
def test_bad_images(x, error, words):
    with pytest.raises(error, match=words) as caught:
        images_of(x)
    assert "\n" not in str(caught.value)


SAME_LABELS = {
    "int64": Y,
    "bytes": Y.astype(np.uint8),
    "floats": Y.astype(np.float32),
    "list": Y.tolist(),
    "column": Y[:, None],
    "series": Frame(Y),
    "objects": Y.astype(object),
    "one-hot": np.eye(3)[Y],
}


@pytest.mark.parametrize("y", SAME_LABELS.values(), ids=SAME_LABELS.keys())
def test_the_same_labels_in_many_forms(y):
    labels = labels_of(y)
    assert labels.dtype == np.int64
    np.testing.assert_array_equal(labels, Y)


@pytest.mark.parametrize("y", [["a", "b"], np.array(["a", "b"]), np.array(["a", "b"], object)])
def test_names_stay_names(y):
    labels = labels_of(y)
    assert labels.dtype.kind == "U"
    assert labels.tolist() == ["a", "b"]


BAD_LABELS = {
    "half": ([0, 0.5], ValueError, r"y\[1\] is 0.5"),
    "NaN": ([0, np.nan], ValueError, r"y\[1\] is nan"),
    "missing name": (np.array(["a", None], object), TypeError, r"y\[1\] is None"),
    "mixed": (np.array([1, "a"], object), TypeError, r"y\[\d\] is "),
    "two ones": (np.ones((3, 3)), ValueError, "one-hot rows with a single 1"),
    "probabilities": (np.full((3, 2), 0.5), ValueError, "one-hot rows"),
    "a number": (3, ValueError, r"shape \(\)"),
    "dates": (np.array(["2020-01-01"], "M8[D]"), TypeError, "datetime64"),
    "too large": (np.array([2**63], np.uint64), ValueError, "below 2"),
}


@pytest.mark.parametrize(("y", "error", "words"), BAD_LABELS.values(), ids=BAD_LABELS.keys())
def test_bad_labels(y, error, words):
    with pytest.raises(error, match=words) as caught:
        labels_of(y)
    assert "\n" not in str(caught.value)


def test_the_parts_must_fit():
    for arguments, words in (
        ((X, Y[:5]), "x holds 6 images, y 5 labels"),
        ((X, Y, X), "y_test is missing"),
        ((X, Y, None, Y), "x_test is missing"),
        ((X, Y, X[:, :3], Y), "x_test has images of 3 x 4 pixels, x of 4 x 4"),
        ((X, Y, X, Y[:3]), "x_test holds 6 images, y_test 3 labels"),
    ):
        with pytest.raises(ValueError, match=words):
            from_arrays(*arguments)


def test_a_data_set_of_arrays():
    dataset = Dataset.from_arrays(X / 256, [5, 5, 2, 2, 9, 9], X[:2], [2, 9], name="mine")
    assert dataset.name == "mine"
    assert dataset.class_names == ("2", "5", "9")
    assert dataset.train_labels.tolist() == [1, 1, 0, 0, 2, 2]
    assert dataset.test_labels.tolist() == [0, 2]
    assert dataset.pixel_max == np.float32(X.max() / 256)
    assert (dataset.folder, dataset.notice) == (None, None)
    named = Dataset.from_arrays(X, Y, class_names=["a", "b", "c"])
    assert named.class_names == ("a", "b", "c")
    assert "held out" in named.notice
    with pytest.raises(ValueError, match="class_names gives 2 names"):
        Dataset.from_arrays(X, Y, class_names=["a", "b"])
    with pytest.raises(ValueError, match="label 4 of the test images"):
        Dataset.from_arrays(X, Y, X[:1], [4])
