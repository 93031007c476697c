"""Every kind of data that docs/data.md names, in its published layout, through `load_data`."""

import bz2
import gzip
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from mnistcore.__main__ import main
from mnistcore.data import Dataset, load_data
from mnistcore.data.synthetic import make_digits

N_TRAIN, N_TEST = 260, 60
X, Y = make_digits(N_TRAIN + N_TEST, 3)
TRAIN, TEST = (X[:N_TRAIN], Y[:N_TRAIN]), (X[N_TRAIN:], Y[N_TRAIN:])
DIGITS = tuple("0123456789")
ROOT = Path(__file__).parent.parent.parent

pytestmark = pytest.mark.usefixtures("clean_place")


class Expected(NamedTuple):
    """What must come out; labels are the names of the classes. No test part: one is held out."""

    train: tuple[np.ndarray, list[str]]
    test: tuple[np.ndarray, list[str]] | None = None
    classes: tuple[str, ...] = DIGITS
    upright: bool = True


def names(labels) -> list[str]:
    return [str(label) for label in labels]


def both(train=TRAIN, test=TEST) -> Expected:
    return Expected((train[0], names(train[1])), (test[0], names(test[1])))


def table(images, labels=None, header=None, last=False, sign=",", end="\n") -> str:
    """Return a table with a row per image, with the label in front or behind."""
    rows = [[str(pixel) for pixel in image.ravel().tolist()] for image in images]
    if labels is not None:
        rows = [
            [*row, str(label)] if last else [str(label), *row]
            for row, label in zip(rows, labels, strict=True)
        ]
    lines = ([header] if header else []) + [sign.join(row) for row in rows]
    return "".join(line + end for line in lines)


def pixel_names(start: int = 0) -> str:
    return ",".join(f"pixel{i}" for i in range(start, start + 784))


def png(image, kind="PNG") -> bytes:
    content = io.BytesIO()
    Image.fromarray(image).save(content, kind)
    return content.getvalue()


def kaggle(folder):
    (folder / "train.csv").write_text(table(*TRAIN, f"label,{pixel_names()}"))
    (folder / "test.csv").write_text(table(TEST[0], header=pixel_names()))
    return folder / "train.csv", Expected((TRAIN[0], names(TRAIN[1])))


def headerless(folder):
    (folder / "mnist_train.csv").write_text(table(*TRAIN))
    (folder / "mnist_test.csv").write_text(table(*TEST))
    return folder, both()


def gzipped(folder):
    (folder / "mnist_train.csv.gz").write_bytes(gzip.compress(table(*TRAIN).encode()))
    (folder / "mnist_test.csv.gz").write_bytes(gzip.compress(table(*TEST).encode()))
    return folder / "mnist_train.csv.gz", both()


def mnist_in_csv(folder):
    header = "label," + ",".join(
        f"{row}x{column}" for row in range(1, 29) for column in range(1, 29)
    )
    (folder / "mnist_train.csv").write_text(table(*TRAIN, header))
    (folder / "mnist_test.csv").write_text(table(*TEST, header))
    return folder / "mnist_train.csv", both()


FASHION = [
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
]


def fashion(folder):
    header = f"label,{pixel_names(1)}"
    (folder / "fashion-mnist_train.csv").write_text(table(*TRAIN, header))
    (folder / "fashion-mnist_test.csv").write_text(table(*TEST, header))
    parts = [(x, [FASHION[label] for label in y]) for x, y in (TRAIN, TEST)]
    return folder, Expected(*parts, tuple(FASHION), upright=False)


def sign_language(folder):
    header, letters = f"label,{pixel_names(1)}", "ABCDEFGHIKLMNOPQRSTUVWXY"  # neither J nor Z
    values = [*range(9), *range(10, 25)]
    parts = [(x, np.arange(len(x)) % 24) for x, _ in (TRAIN, TEST)]
    for part, (x, ids) in zip(("train", "test"), parts, strict=True):
        text = table(x, [values[i] for i in ids], header)
        (folder / f"sign_mnist_{part}.csv").write_text(text)
    parts = [(x, [letters[i] for i in ids]) for x, ids in parts]
    return folder, Expected(*parts, tuple(letters), upright=False)


def letters_of_nist(folder):
    labels = np.sort(np.arange(N_TRAIN) % 26)  # the file is sorted by class and has no header
    path = folder / "A_Z Handwritten Data.csv"
    path.write_text(table(TRAIN[0], labels))
    train = TRAIN[0], [chr(65 + label) for label in labels]
    return path, Expected(train, None, tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ"), upright=False)


def openml(folder):
    quoted = ",".join(f'"pixel{i}"' for i in range(1, 785)) + ',"class"'
    path = folder / "mnist_784.csv"
    path.write_text(table(*TRAIN, quoted, last=True, end="\r\n"))
    return path, Expected((TRAIN[0], names(TRAIN[1])))


def pandas_with_index(folder):
    lines = table(*TRAIN).splitlines()
    header = ",label," + ",".join(map(str, range(784)))
    text = "".join(f"{row},{line}\n" for row, line in enumerate(lines))
    path = folder / "digits.csv"
    path.write_text(f"\ufeff{header}\n{text}", encoding="utf-8")
    return path, Expected((TRAIN[0], names(TRAIN[1])))


def emnist_csv(folder):
    labels = [np.arange(len(x)) % 26 + 1 for x, _ in (TRAIN, TEST)]
    for part, (x, _), y in zip(("train", "test"), (TRAIN, TEST), labels, strict=True):
        text = table(x.transpose(0, 2, 1), y)
        (folder / f"emnist-letters-{part}.csv").write_text(text)
    parts = [
        (x, [chr(64 + label) for label in y])
        for (x, _), y in zip((TRAIN, TEST), labels, strict=True)
    ]
    letters = tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    return folder / "emnist-letters-train.csv", Expected(*parts, letters, upright=False)


def keras(folder):
    path = folder / "mnist.npz"
    arrays = {"x_test": TEST[0], "x_train": TRAIN[0], "y_train": TRAIN[1], "y_test": TEST[1]}
    arrays = {name: array.astype(np.uint8) for name, array in arrays.items()}
    np.savez_compressed(path, **arrays)
    return path, both()


KUZUSHIJI = "おきすつなはまやれを"


def kuzushiji(folder):
    for part, (x, y) in zip(("train", "test"), (TRAIN, TEST), strict=True):
        np.savez_compressed(folder / f"kmnist-{part}-imgs.npz", x)
        np.savez_compressed(folder / f"kmnist-{part}-labels.npz", y.astype(np.uint8))
    rows = "".join(f"{i},U+{ord(c):04X},{c}\n" for i, c in enumerate(KUZUSHIJI))
    (folder / "kmnist_classmap.csv").write_text(f"index,codepoint,char\n{rows}", encoding="utf-8")
    parts = [(x, [KUZUSHIJI[label] for label in y]) for x, y in (TRAIN, TEST)]
    return folder, Expected(*parts, tuple(KUZUSHIJI), upright=False)


def medmnist(folder):
    path = folder / "pneumoniamnist.npz"
    parts = {"train": slice(0, 120), "val": slice(120, N_TRAIN), "test": slice(N_TRAIN, None)}
    arrays = {}
    for part, rows in parts.items():
        arrays[f"{part}_images"] = X[rows]
        arrays[f"{part}_labels"] = Y[rows, None].astype(np.uint8)
    np.savez_compressed(path, **arrays)
    return path, both()


def in_folders(folder, parts, kind="png", prefix=""):
    """Write pictures into a folder per class; return them in the order of their names."""
    found = []
    for part, (x, y) in parts.items():
        order = np.argsort(y, kind="stable")
        for i in order:
            place = folder / part / str(y[i])
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{prefix}{i:05d}.{kind}").write_bytes(
                png(x[i], "JPEG" if kind == "jpg" else "PNG")
            )
        found.append((x[order], names(y[order])))
    return found


def mnist_png(folder):
    parts = in_folders(folder / "mnist_png", {"training": TRAIN, "testing": TEST})
    (folder / "mnist_png" / "training" / "0" / "Thumbs.db").write_bytes(b"x")
    (folder / "mnist_png" / ".DS_Store").write_bytes(b"x")
    return folder / "mnist_png", Expected(*parts)


def folders_of_classes(folder):
    (train,) = in_folders(folder, {"digits": TRAIN})
    return folder / "digits", Expected(train)


def nested(folder):
    parts = in_folders(folder, {"trainingSet/trainingSet": TRAIN, "testSet/testSet": TEST})
    return folder, Expected(*parts)


def hugging_face(folder):
    core, arro3_io = pytest.importorskip("arro3.core"), pytest.importorskip("arro3.io")
    (folder / "mnist").mkdir()
    label = {"names": list(DIGITS), "_type": "ClassLabel"}
    features = {"info": {"features": {"image": {"_type": "Image"}, "label": label}}}
    binary, text, integer = core.DataType.binary(), core.DataType.utf8(), core.DataType.int64()
    for part, (x, y) in zip(("train", "test"), (TRAIN, TEST), strict=True):
        content = core.Array([png(image) for image in x], binary)
        paths = core.Array([None] * len(x), text)
        fields = [core.Field("bytes", binary), core.Field("path", text)]
        columns = [
            core.struct_array([content, paths], fields=fields),
            core.Array(y.tolist(), integer),
        ]
        schema = core.Table.from_pydict(dict(zip(("image", "label"), columns, strict=True))).schema
        schema = schema.with_metadata({"huggingface": json.dumps(features)})
        rows = core.Table.from_arrays(columns, schema=schema)
        arro3_io.write_parquet(rows, str(folder / "mnist" / f"{part}-00000-of-00001.parquet"))
    return folder, both()


def small(images, side, top):
    """Return images subsampled to side x side pixels of 0..top."""
    places = np.linspace(4, 23, side).round().astype(int)
    return np.rint(images[:, places][:, :, places] / 255.0 * top)


def optdigits(folder):
    parts = [(small(x, 8, 16).astype(np.uint8), y) for x, y in (TRAIN, TEST)]
    for x, _ in parts:
        x[:, 0, 0] = 0  # as in all of the published pictures
    for end, part in zip(("tra", "tes"), parts, strict=True):
        (folder / f"optdigits.{end}").write_text(table(*part, last=True))
    return folder / "optdigits.tra", both(*parts)._replace(upright=False)


def semeion(folder):
    images = small(TRAIN[0], 16, 1)
    rows = (
        " ".join([*(f"{p:.4f}" for p in image.ravel()), *("01"[int(d == y)] for d in range(10))])
        + " \n"
        for image, y in zip(images, TRAIN[1], strict=True)
    )
    path = folder / "semeion.data"
    path.write_text("".join(rows))
    return path, Expected((images.astype(np.uint8), names(TRAIN[1])), upright=False)


def usps_parts():
    return [(small(x, 16, 2000) / 1000 - 1, y) for x, y in (TRAIN, TEST)]  # three decimals, -1..1


def usps(folder):
    parts = usps_parts()
    for name, (x, y) in zip(("usps.bz2", "usps.t.bz2"), parts, strict=True):
        lines = (
            f"{label + 1} "
            + " ".join(f"{i}:{pixel:.6g}" for i, pixel in enumerate(image.ravel(), 1))
            + " \n"
            for image, label in zip(x, y, strict=True)
        )
        (folder / name).write_bytes(bz2.compress("".join(lines).encode()))
    return folder, both(*((np.float32((x + 1) / 2), y) for x, y in parts))._replace(upright=False)


def zip_train(folder):
    parts = usps_parts()
    for name, (x, y) in zip(("zip.train.gz", "zip.test.gz"), parts, strict=True):
        lines = (
            " ".join([f"{label:.4f}", *(f"{pixel:.4f}" for pixel in image.ravel())]) + " \n"
            for image, label in zip(x, y, strict=True)
        )
        (folder / name).write_bytes(gzip.compress("".join(lines).encode()))
    return folder, both(*((np.float32((x + 1) / 2), y) for x, y in parts))._replace(upright=False)


def libsvm(folder):
    for name, (x, y) in zip(("mnist", "mnist.t"), (TRAIN, TEST), strict=True):
        lines = (
            f"{label} " + " ".join(f"{i}:{p}" for i, p in enumerate(image.ravel(), 1) if p) + "\n"
            for image, label in zip(x, y, strict=True)
        )
        (folder / name).write_text("".join(lines))
    return folder / "mnist", both()


def usps_h5(folder):
    h5py = pytest.importorskip("h5py")
    parts = [(np.float32((x + 1) / 2), y) for x, y in usps_parts()]
    with h5py.File(folder / "usps.h5", "w") as file:
        for name, (x, y) in zip(("train", "test"), parts, strict=True):
            file[f"{name}/data"], file[f"{name}/target"] = (
                x.reshape(len(x), 256),
                y.astype(np.int64),
            )
    return folder / "usps.h5", both(*parts)._replace(upright=False)


Kind = Callable[[Path], tuple[Path, Expected]]
KINDS: dict[str, Kind] = {
    "train.csv and test.csv of Kaggle": kaggle,
    "mnist_train.csv without a header": headerless,
    "mnist_train.csv.gz": gzipped,
    "mnist_train.csv with 1x1, 1x2": mnist_in_csv,
    "fashion-mnist_train.csv": fashion,
    "sign_mnist_train.csv": sign_language,
    "A_Z Handwritten Data.csv": letters_of_nist,
    "mnist_784.csv of OpenML": openml,
    "CSV with the index of pandas": pandas_with_index,
    "emnist-letters-train.csv": emnist_csv,
    "mnist.npz of Keras": keras,
    "kmnist-train-imgs.npz": kuzushiji,
    "pneumoniamnist.npz of MedMNIST": medmnist,
    "training/0/*.png": mnist_png,
    "0/*.png": folders_of_classes,
    "trainingSet/trainingSet/0": nested,
    "Parquet of Hugging Face": hugging_face,
    "optdigits.tra": optdigits,
    "semeion.data": semeion,
    "usps.bz2": usps,
    "zip.train.gz": zip_train,
    "mnist in LIBSVM's format": libsvm,
    "usps.h5": usps_h5,
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
def test_each_kind_of_data(kind, tmp_path):
    (tmp_path / "set").mkdir()
    path, expected = kind(tmp_path / "set")
    dataset = load_data(path)
    assert dataset.class_names == expected.classes
    if expected.test is not None:
        assert_holds(dataset, "train", expected.train)
        assert_holds(dataset, "test", expected.test)
    else:
        assert_held_out(dataset, expected.train)
    if expected.upright:
        assert dataset.looks == ("upright", "upright")
    assert str(tmp_path) in dataset.source
    assert dataset.folder == str(path)


def assert_holds(dataset: Dataset, part: str, expected) -> None:
    images, labels = expected
    close = 0 if images.dtype == np.uint8 else 1e-6  # float32 of three decimals
    np.testing.assert_allclose(getattr(dataset, f"{part}_images"), images, rtol=0, atol=close)
    ids = getattr(dataset, f"{part}_labels")
    assert [dataset.class_names[i] for i in ids] == labels
    whole = images.dtype == np.uint8
    assert getattr(dataset, f"{part}_images").dtype == (np.uint8 if whole else np.float32)


def assert_held_out(dataset: Dataset, expected) -> None:
    """A seventh of the images is the test set, the others are training images."""
    images, labels = expected
    left = {(image.tobytes(), label) for image, label in zip(images, labels, strict=True)}
    n_test = len(dataset.test_labels)
    assert n_test == round(len(images) / 7)
    assert len(dataset.train_labels) == len(images) - n_test
    for part in ("train", "test"):
        ids = getattr(dataset, f"{part}_labels")
        for image, i in zip(getattr(dataset, f"{part}_images"), ids, strict=True):
            left.discard((image.astype(images.dtype).tobytes(), dataset.class_names[i]))
    assert not left
    assert "held out" in str(dataset.notice)


def test_an_unlabelled_test_set_is_left_aside_with_a_notice(tmp_path):
    path, _ = kaggle(tmp_path)
    notice = str(load_data(path).notice)
    assert f"{tmp_path / 'test.csv'} has no labels and was left aside" in notice
    assert f"mnistcore predict RUN {tmp_path / 'test.csv'}" in notice


@pytest.mark.parametrize("kind", [kaggle, keras, mnist_png, usps])
def test_train_learns_from_a_path(kind, tmp_path, capsys):
    (tmp_path / "set").mkdir()
    path, _ = kind(tmp_path / "set")
    run = tmp_path / "run"
    arguments = ["--data", str(path), "--epochs", "1", "--backend", "numpy", "--hidden", "8"]
    assert main(["train", *arguments, "--output", str(run), "--quiet"]) == 0
    assert main(["evaluate", str(run), "--backend", "numpy"]) == 0
    assert path.name in capsys.readouterr().out


def test_other_data_without_a_test_set_is_evaluated_as_a_whole(tmp_path, capsys):
    for name, rows in (
        ("one", slice(0, 100)),
        ("two", slice(100, 200)),
        ("three", slice(200, 270)),
    ):
        (tmp_path / f"{name}.csv").write_text(table(X[rows], Y[rows]))
    both_sets = f"{tmp_path / 'one.csv'}+{tmp_path / 'two.csv'}"
    run = str(tmp_path / "run")
    arguments = ["--epochs", "1", "--backend", "numpy", "--hidden", "8", "--quiet"]
    assert main(["train", "--data", both_sets, *arguments, "--output", run]) == 0
    for name, n_images in (("one", 14), ("two", 14), ("three", 70)):  # parts of two were seen
        data = str(tmp_path / f"{name}.csv")
        capsys.readouterr()
        assert main(["evaluate", run, "--data", data, "--backend", "numpy"]) == 0
        out, err = capsys.readouterr()
        assert f"{name}.csv: {n_images} test images" in out
        assert ("held out" in err) == (name != "three")


def test_the_page_names_every_kind():
    page = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    files = [re.split(" of | with| and | in ", name)[0] for name in KINDS]
    missing = [name for name in files if name.replace("*.png", "") not in page]
    assert not missing
