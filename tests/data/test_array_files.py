"""npz, HDF5 and LIBSVM files that are damaged, lack something or are not to be trusted."""

import io
import sys
import zipfile

import numpy as np
import pytest

from mnistcore.data import DataError, h5_file, libsvm_file, load_data, npz_file
from mnistcore.data.synthetic import make_digits
from mnistcore.system import copying
from mnistcore.system.extras import MissingExtraError

RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (6, 4, 4), np.uint8)
Y = np.arange(6, dtype=np.uint8) % 3
INK = np.zeros((6, 4, 4), np.uint8)
INK[:, 1:3, 1:3] = 250


def npz(**arrays) -> bytes:
    content = io.BytesIO()
    np.savez(content, **arrays)
    return content.getvalue()


def npy(shape, elements=b"", dtype="|u1") -> bytes:
    content = io.BytesIO()
    header = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(content, header)
    return content.getvalue() + elements


def zipped(**members) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, member in members.items():
            archive.writestr(f"{name}.npy", member)
    return content.getvalue()


@pytest.mark.parametrize(
    "names",
    [
        *(("x", "y"), ("X", "Y"), ("images", "labels"), ("data", "target"), ("image", "label")),
        *(("X_train", "y_train"), ("train_x", "train_y"), ("trainImages", "trainLabels")),
    ],
)
def test_names_of_arrays(names, tmp_path):
    (tmp_path / "digits.npz").write_bytes(npz(**dict(zip(names, (X, Y), strict=True))))
    for path in (tmp_path / "digits.npz", tmp_path):
        raw = npz_file.read(path)
        np.testing.assert_array_equal(raw.train.images, X)
        np.testing.assert_array_equal(raw.train.labels, Y)
        assert raw.test is None


def test_a_test_set_beside_x_and_y(tmp_path):
    (tmp_path / "digits.npz").write_bytes(
        npz(x=X, y=Y, x_test=X[:2], y_test=Y[:2], x_val=X, y_val=Y)
    )
    raw = npz_file.read(tmp_path / "digits.npz")
    assert (len(raw.train.labels), len(raw.test.labels)) == (12, 2)


FAULTS = {
    "other names": (npz(a=X, b=Y), "holds the arrays a, b; images and labels are looked for as"),
    "no labels": (npz(x_train=X), "has x_train, but no labels for it"),
    "no images": (npz(y_train=Y), "has y_train, but no images for it"),
    "lengths": (npz(x=X, y=Y[:5]), "x holds 6 images, y 5 labels"),
    "colour": (npz(x=np.stack([X] * 3, -1), y=Y), "convert the colours to grey"),
    "several labels": (npz(x=X, y=np.ones((6, 14))), "one-hot rows"),
    "objects": (npz(x=X.astype(object), y=Y), "x holds Python objects, which are never read"),
    "huge": (
        zipped(x=npy((2**40,)), y=npy((6,), bytes(6))),
        "x is of another size than its header",
    ),
    "validation": (
        npz(train_images=X, train_labels=Y, val_images=X[:, :3], val_labels=Y),
        "has validation images of 3 x 4 pixels, training images of 4 x 4",
    ),
    "scale of the validation images": (
        npz(x_train=X, y_train=Y, x_val=X / 255, y_val=Y),
        "has pixels up to .* in its validation images, up to 255 in its training images; they must",
    ),
    "ink of the validation images": (
        npz(x_train=INK, y_train=Y, x_val=255 - INK, y_val=Y),
        "has dark ink in its validation images, light ink in its training images; invert one",
    ),
    "two of a name": (npz(x_1=X, x_2=X, y=Y), "holds x_1 and x_2, of which one is needed"),
    "two by capitals": (npz(x=X, X=X, y=Y), "holds x and X, of which one is needed"),
    "a label that is empty": (
        npz(x=X, y=np.array([*"ababa", " "])),
        "image 5 of the training images has no label",
    ),
    "truncated": (npz(x=X, y=Y)[:-40], "is a damaged .npz file"),
    "no zip": (b"hello", "is a damaged .npz file"),
    "empty": (b"", "is a damaged .npz file"),
    "no array": (zipped(x=b"hello", y=b"you"), "is a damaged .npz file"),
}


@pytest.mark.parametrize(("content", "words"), FAULTS.values(), ids=FAULTS.keys())
def test_npz_files_that_cannot_be_read(content, words, tmp_path):
    path = tmp_path / "digits.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=words) as caught:
        load_data(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_npz_files_that_unpack_to_too_much(tmp_path, monkeypatch):
    path = tmp_path / "digits.npz"
    np.savez_compressed(path, x=np.zeros((6, 500, 500), np.uint8), y=Y)
    assert path.stat().st_size < 5000
    monkeypatch.setattr(npz_file, "MAX_BYTES", 10**6)
    with pytest.raises(DataError, match=r"unpacks to 1,500,\d+ bytes; at most 1,000,000 are read"):
        npz_file.read(path)
    np.savez_compressed(path, x=np.zeros((6, 250, 250), np.float16), y=Y)
    with pytest.raises(DataError, match=r"takes 1,500,000 bytes in float32; at most 1,000,000"):
        npz_file.read(path)


def test_a_folder_of_npz_files(tmp_path):
    for name in ("kmnist-train-imgs", "kmnist-train-labels", "k49-train-imgs"):
        (tmp_path / f"{name}.npz").write_bytes(npz(arr_0=X if "imgs" in name else Y))
    with pytest.raises(DataError, match=r"holds several data sets \(k49-train"):
        npz_file.read(tmp_path)
    with pytest.raises(DataError, match=r"k49-train-labels\.npz: no such file; put it beside"):
        npz_file.read(tmp_path / "k49-train-imgs.npz")
    raw = npz_file.read(tmp_path / "kmnist-train-labels.npz")  # each file names the set
    np.testing.assert_array_equal(raw.train.labels, Y)
    assert raw.class_names[2] == "su"
    (tmp_path / "kmnist-test-imgs.npz").write_bytes(npz(arr_0=X))
    with pytest.raises(DataError, match=r"kmnist-test-labels\.npz: no such file"):
        npz_file.read(tmp_path / "kmnist-train-imgs.npz")
    (tmp_path / "kmnist-train-labels.npz").write_bytes(npz(arr_0=X, arr_1=X))
    with pytest.raises(DataError, match=r"holds 2 arrays \(arr_0, arr_1\), where one belongs"):
        npz_file.read(tmp_path / "kmnist-train-imgs.npz")


def sparse(images, labels) -> str:
    return "".join(
        f"{label} " + " ".join(f"{i}:{p}" for i, p in enumerate(x.ravel(), 1) if p) + "\n"
        for x, label in zip(images, labels, strict=True)
    )


SPARSE = sparse(X, Y)


@pytest.mark.parametrize(
    "line",
    [
        *("1 3:x", "1 3:4 3:5", "1 -1:4", "1.5 1:1", "1 2:nan", "1 2", "1 1.5:3"),
        *("1 99999999999:1", "x 1:1", "1 16777217:1", "1 1:1e39", "1e300 1:1"),
    ],
)
def test_lines_of_libsvm_that_are_malformed(line, tmp_path):
    (tmp_path / "digits").write_text(f"{SPARSE}{line}\n")
    with pytest.raises(DataError, match="digits: line 7 is not a label and pairs"):
        load_data(tmp_path / "digits")


def test_sparse_pictures_are_square_and_bounded(tmp_path, monkeypatch):
    path = tmp_path / "digits"
    x = X.copy()
    x[:, 3, 2:] = 0  # pixels that are 0 in all pictures are not in the file
    path.write_text(sparse(x, Y))
    assert libsvm_file.recognises(path)
    np.testing.assert_array_equal(libsvm_file.read(path).train.images, x)
    path.write_text(SPARSE + "1 1:1 16000000:1\n")
    monkeypatch.setattr(libsvm_file, "MAX_BYTES", 2**28)
    with pytest.raises(DataError, match="declares 7 pictures of 4000 x 4000 pixels"):
        libsvm_file.read(path)
    monkeypatch.setattr(libsvm_file, "MAX_BYTES", 200)
    with pytest.raises(DataError, match="holds more values"):
        libsvm_file.read(path)


def test_indices_from_0_as_scikit_learn_writes_them(tmp_path):
    """One that is 0 tells, or the comment; else they count from 1, which a notice says."""
    from sklearn.datasets import dump_svmlight_file as dump

    path, flat = tmp_path / "digits", X.reshape(6, 16).astype(float)
    blank = flat.copy()
    blank[:, 0] = 0
    for x, written, first in (
        (flat, {}, 0), (blank, {"comment": "digits"}, 0), (blank, {"zero_based": False}, 1),
        (flat, {"query_id": np.arange(6), "zero_based": False}, 1),
    ):  # fmt: skip
        dump(x, Y.astype(int), str(path), **written)
        assert libsvm_file.recognises(path)
        raw = libsvm_file.read(path)
        np.testing.assert_array_equal(raw.train.images, x.reshape(6, 4, 4))
        assert f"pictures of 4 x 4 pixels whose indices count from {first}," in raw.notices[0]


@pytest.mark.parametrize("side", [28, 30, 32])
def test_pictures_keep_their_side_whatever_is_blank(side, tmp_path):
    images = np.pad(make_digits(40, 0)[0], ((0, 0), *[((side - 28) // 2,) * 2] * 2))
    (tmp_path / "digits").write_text(sparse(images, np.arange(40)))
    np.testing.assert_array_equal(libsvm_file.read(tmp_path / "digits").train.images, images)


def test_a_group_of_validation_images_in_hdf5(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "digits.h5", "w") as file:
        for group in ("train", "val", "extra"):
            file[f"{group}/data"], file[f"{group}/target"] = X, Y
    raw = h5_file.read(tmp_path / "digits.h5")
    np.testing.assert_array_equal(raw.train.images, [*X, *X])
    path = tmp_path / "digits.h5"
    assert raw.notices == (
        f"extra in {path} is neither train nor test and was left aside.",
        f"6 validation images of {path} are among the training images; a run takes its own"
        " validation images from them.",
    )


def test_hdf5_files(tmp_path, monkeypatch):
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "usps.h5"

    def fault() -> str:
        with pytest.raises(DataError) as caught:
            load_data(path)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    with h5py.File(path, "w") as file:
        file["weights"] = X
    assert f"{path}: holds weights; the groups train and test" in fault()
    with h5py.File(path, "w") as file:
        file["train/data"] = X
    assert f"{path}: train holds data; data and target are needed" in fault()
    with h5py.File(path, "w") as file:
        file["train/data"], file["train/target"] = X, ["a"] * 6
    assert "train/target holds no numbers" in fault()
    with h5py.File(path, "w") as file:
        file["train/data"], file["train/target"] = X, Y[:5]
    assert "train/data holds 6 images, train/target 5 labels" in fault()
    with h5py.File(path, "w") as file:
        file.create_dataset("train/data", (10**6, 16, 16), "f8")  # not allocated in the file
        file["train/target"] = Y
    assert "holds 2,048,000,006 bytes of arrays; at most" in fault()
    path.write_bytes(path.read_bytes()[:900])
    assert "is a damaged HDF5 file" in fault()
    crash = "import os; os.kill(os.getpid(), 11)"
    monkeypatch.setattr(copying, "_program", lambda copier: ["-c", crash])
    assert "is a damaged HDF5 file (reading it crashes)" in fault()
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(MissingExtraError, match=r'pip install -e "\.\[hdf5\]"'):
        load_data(path)
    assert not h5_file.recognises(tmp_path / "missing.h5")
