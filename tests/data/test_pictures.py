"""Folders of pictures and Parquet files of them: kinds of pictures, and what is refused."""

import io
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from mnistcore.data import DataError, load_data, parquet_file, picture, picture_folder
from mnistcore.system.extras import MissingExtraError

RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (4, 6, 5), np.uint8)


@pytest.fixture
def folder(tmp_path):
    """Two classes of two pictures."""
    for i, image in enumerate(X):
        place = tmp_path / "set" / "ab"[i % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{i}.png")
    return tmp_path / "set"


def images_of(folder):
    raw = picture_folder.read(folder)
    return dict(zip(raw.train.labels.tolist(), raw.train.images, strict=True))


def test_kinds_of_pictures(tmp_path):
    """A class for each kind: the grey pixels are those of the first image."""
    grey = Image.fromarray(X[0])
    half = Image.fromarray(np.full_like(X[0], 128))
    kinds = {
        "bmp": grey,
        "palette.png": grey.convert("P"),
        "colour.png": grey.convert("RGB"),
        "sixteen.png": Image.fromarray(X[0].astype(np.uint16) * 257),
        "grey.tiff": grey,
        "grey.pgm": grey,
        "grey.WEBP": (grey, {"lossless": True}),
        "moving.gif": (grey, {"save_all": True, "append_images": [half]}),
        "alpha.png": Image.merge("LA", (Image.new("L", grey.size), grey.point(lambda p: 255 - p))),
    }
    for name, image in kinds.items():
        place = tmp_path / name
        place.mkdir()
        image, options = image if isinstance(image, tuple) else (image, {})
        file = place / (name if "." in name else f"x.{name}")
        image.save(file, "PPM" if name.endswith("pgm") else None, **options)
    found = images_of(tmp_path)
    assert set(found) == set(kinds)
    for name, image in found.items():
        assert np.abs(image.astype(int) - X[0]).max() <= 1, name


def test_a_camera_that_lay_on_its_side(tmp_path):
    (tmp_path / "a").mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    flat = np.zeros((16, 8, 3), np.uint8)
    flat[:, :4] = 255
    Image.fromarray(flat).save(tmp_path / "a" / "x.jpg", exif=exif, quality=100)
    image = images_of(tmp_path)["a"]
    assert image.shape == (8, 16)
    assert (image[:4] > 200).all()
    assert (image[4:] < 50).all()


def test_pictures_of_16_bits_that_lie_on_their_side(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    for name, shape in (("a/x.png", (6, 5)), ("b/x.png", (6, 5)), ("square/0/x.tiff", (5, 5))):
        (tmp_path / name).parent.mkdir(parents=True)
        image = X[0][: shape[0]].astype(np.uint16) * 257
        Image.fromarray(image).save(tmp_path / name, exif=exif)
    np.testing.assert_array_equal(images_of(tmp_path)["a"], np.rot90(X[0], 3))
    np.testing.assert_array_equal(images_of(tmp_path / "square")["0"], np.rot90(X[0, :5], 3))
    (tmp_path / "long" / "0").mkdir(parents=True)
    Image.fromarray(X[0]).save(tmp_path / "long" / "0" / "x.tiff", exif=exif)
    fault_in(tmp_path / "long", "x.tiff: lies on its side; turn it, and save it again")


def test_pictures_that_are_blank_as_they_are_read(folder, parquet):
    for i, file in enumerate(sorted(folder.glob("*/*.png"))):
        Image.fromarray(X[i].astype(np.uint16)).save(file)  # 8 bits in 16
    fault_in(folder, "set: all its pictures are blank as they are read; pixels of 16 bits must")
    for file in folder.glob("*/*.png"):
        Image.merge("LA", (Image.new("L", (5, 6), 255), Image.fromarray(X[0]))).save(file)
    fault_in(folder, "ink on a transparent ground must not be white")
    fault_in(parquet(image=[png(np.zeros((6, 5), np.uint8))] * 4), "all its pictures are blank")


def test_pictures_that_are_not_there(folder):
    (folder / "a" / "z.png").symlink_to(folder / "nowhere.png")
    fault_in(folder, "z.png: cannot be read as a picture .*No such file")
    for file in folder.glob("*/*.png"):
        file.unlink()
    (folder / "a" / "z.png").mkdir()
    fault_in(folder, "set: holds no pictures, only folders that are named like some")


def test_what_is_skipped(folder):
    (folder / "a" / ".hidden.png").write_bytes(b"x")
    (folder / "a" / "Thumbs.db").write_bytes(b"x")
    (folder / "__MACOSX").mkdir()
    (folder / "__MACOSX" / "._1.png").write_bytes(b"x")
    assert picture_folder.read(folder).notices == ()
    (folder / "a" / "notes.txt").write_text("x")
    (notice,) = picture_folder.read(folder).notices
    assert (
        notice == f"1 entry that is no picture was skipped, such as {folder / 'a' / 'notes.txt'}."
    )


def test_a_validation_part_and_an_unlabelled_test_part(folder, tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    folder.rename(root / "Train")
    for part in ("Valid/b", "Test"):
        (root / part).mkdir(parents=True)
        Image.fromarray(X[0]).save(root / part / "9.png")
    raw = picture_folder.read(root)
    assert raw.train.labels.tolist() == ["a", "a", "b", "b", "b"]
    assert raw.test is None
    left_aside, added = raw.notices
    assert left_aside == f"{root / 'Test'} has no folder for each class and was left aside."
    assert added.startswith(f"1 validation image of {root / 'Valid'} is among the training images")


def test_a_test_part_beside_the_classes(folder):
    """It is no class of its own: with classes in it, it is the test set; else it is left aside."""
    for part in ("test", "dev"):
        (folder / part).mkdir()
        Image.fromarray(X[0]).save(folder / part / "9.png")
    raw = picture_folder.read(folder)
    assert sorted(set(raw.train.labels)) == ["a", "b"]
    assert raw.notices == tuple(
        f"{folder / part} has no folder for each class and was left aside."
        for part in ("dev", "test")
    )
    (folder / "test" / "9.png").unlink()
    (folder / "test" / "b").mkdir()
    Image.fromarray(X[3]).save(folder / "test" / "b" / "9.png")
    raw = picture_folder.read(folder)
    np.testing.assert_array_equal(raw.test.images, X[3:])
    assert raw.test.labels.tolist() == ["b"]


def test_a_part_under_two_names(folder, tmp_path):
    root = tmp_path / "root"
    shutil.copytree(folder, root / "train")
    shutil.copytree(folder, root / "Training")
    with pytest.raises(DataError, match="root: holds Training and train, of which one is needed"):
        picture_folder.read(root)


def test_validation_pictures_with_the_ink_the_other_way_round(tmp_path):
    for part, sign in (("train", 1), ("val", -1)):
        place = tmp_path / part / "a"
        place.mkdir(parents=True)
        for i in range(4):
            image = np.zeros((6, 6), np.uint8)
            image[2:4, 1 + i % 3 : 3 + i % 3] = 250
            Image.fromarray(image if sign > 0 else 255 - image).save(place / f"{i}.png")
    with pytest.raises(DataError, match="val: has dark ink in its validation images, light ink in"):
        picture_folder.read(tmp_path)


def fault_in(folder, words):
    with pytest.raises(DataError, match=words) as caught:
        load_data(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_pictures_that_cannot_be_used_are_named(folder, monkeypatch):
    odd = folder / "b" / "odd.png"
    for content, words in (
        (b"", "cannot be read as a picture"),
        (b"<html>", "cannot be read as a picture"),
        ((folder / "a" / "0.png").read_bytes()[:60], "cannot be read as a picture"),
    ):
        odd.write_bytes(content)
        assert fault_in(folder, words).startswith(f"{odd}: ")
    Image.new("L", (7, 5)).save(odd)
    words = r"has 7 x 5 pixels, .*0.png has 5 x 6; all pictures must be of one size"
    assert fault_in(folder, words).startswith(f"{odd}: ")
    Image.new("1", (3000, 3000)).save(odd)
    assert fault_in(folder, "has 3,000 x 3,000 pixels").startswith(f"{odd}: ")
    Image.new("F", (5, 6)).save(odd.with_suffix(".tif"))
    odd.unlink()
    assert "32 bits" in fault_in(folder, "save it with 8 bits")
    odd.with_suffix(".tif").unlink()
    monkeypatch.setattr(picture_folder, "MAX_BYTES", 119)
    fault_in(folder, "its pictures have 120 pixels together; at most 119 are read")


def test_folders_that_hold_no_classes(tmp_path):
    for path in (tmp_path, tmp_path / "missing", tmp_path / ("x" * 3000)):
        assert not picture_folder.recognises(path)


def test_pictures_without_folders_of_classes(folder):
    fault_in(folder / "a", "holds pictures, but not in a folder for each class; name a folder that")
    fault_in(
        folder / "a" / "0.png", "is a picture; name a folder that has a folder of pictures for"
    )


@pytest.fixture
def parquet(tmp_path):
    """Write a Parquet file with some columns."""
    core, arro3_io = pytest.importorskip("arro3.core"), pytest.importorskip("arro3.io")

    def write(name="train.parquet", label=(0, 1, 0, 1), image=None, column="image", names=()):
        content = image or [png(x) for x in X]
        types = core.DataType.utf8() if isinstance(label[0], str) else core.DataType.int64()
        columns = {column: core.Array(content, core.DataType.binary())}
        columns["label"] = core.Array(list(label), types)
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        table = core.Table.from_pydict(columns)
        if names:
            hub = json.dumps({"info": {"features": {"label": {"names": names}}}})
            schema = table.schema.with_metadata({"huggingface": hub})
            table = core.Table.from_arrays([*columns.values()], schema=schema)
        arro3_io.write_parquet(table, str(tmp_path / name))
        return tmp_path / name

    return write


def png(image) -> bytes:
    content = io.BytesIO()
    Image.fromarray(image).save(content, "PNG")
    return content.getvalue()


def test_parquet_files_that_name_their_classes_otherwise_are_refused(parquet, tmp_path):
    """Else 0 would be a cat in training, and a dog in the test."""
    parquet("train-00000-of-00001.parquet", names=["cat", "dog"])
    other = parquet("test-00000-of-00001.parquet", names=["cat", "dog"])
    assert load_data(tmp_path).class_names == ("cat", "dog")
    parquet(other.name, names=["dog", "cat"])
    with pytest.raises(DataError, match=r"names its classes dog, cat, unlike .* before, cat, dog"):
        load_data(tmp_path)


def test_layouts_of_parquet(parquet, tmp_path):
    path = parquet("digits.parquet", label=list("abab"))
    raw = parquet_file.read(path)
    np.testing.assert_array_equal(raw.train.images, X)
    assert raw.train.labels.tolist() == list("abab")
    path.unlink()
    parquet("train-00000-of-00002.parquet")
    parquet("train-00001-of-00002.parquet")
    parquet("validation-00000-of-00001.parquet")
    parquet("test-00000-of-00001.parquet")
    raw = parquet_file.read(tmp_path / "train-00000-of-00002.parquet")
    assert len(raw.train.labels) == 12
    assert len(raw.test.labels) == 4
    (notice,) = raw.notices
    assert "4 validation images of" in notice
    assert "validation-00000-of-00001.parquet are among the training images" in notice
    parquet("train.parquet")
    with pytest.raises(DataError, match=r"holds several tables \(train-00000-of-00002.parquet,"):
        parquet_file.read(tmp_path)
    assert len(parquet_file.read(tmp_path / "train.parquet").train.labels) == 8
    (tmp_path / "train.parquet").unlink()
    for name in ("train-00000-of-00002.parquet", "train-00001-of-00002.parquet"):
        (tmp_path / name).unlink()
    for names, words in (
        (("train-00000-of-00002-ab12.parquet", "train-00001-of-00002-cd34.parquet"), None),
        (("train-00000-of-00002.parquet",), "train-00001-of-00002 is not beside train-00000-of-"),
        (("train-00003-of-00005.parquet",), "4 files such as train-00000-of-00005 are not beside"),
    ):
        for name in names:
            parquet(name)
        _, *told = parquet_file.read(tmp_path).notices
        assert [notice.startswith(words or "") for notice in told] == [True] * bool(words)
        for name in names:
            (tmp_path / name).unlink()
    alone = parquet_file.read(tmp_path / "test-00000-of-00001.parquet")
    assert (len(alone.train.labels), alone.test) == (4, None)


def test_the_converted_branch_of_a_hub(parquet, tmp_path):
    (tmp_path / "mnist").mkdir()
    parquet("mnist/train/0000.parquet")
    parquet("mnist/test/0000.parquet")
    raw = parquet_file.read(tmp_path / "mnist")
    assert (len(raw.train.labels), len(raw.test.labels)) == (4, 4)


def test_parquet_files_that_cannot_be_used(parquet, tmp_path, monkeypatch, capfd):
    fault_in(parquet(column="pixels"), "has the columns pixels, label; one named image or img")
    fault_in(parquet(label=[0, None, 1, 1]), "train.parquet, row 1 has no label that can be read")
    fault_in(parquet(image=[b"x"] * 4), "train.parquet, row 0: cannot be read as a picture")
    sizes = [png(x) for x in X[:3]] + [png(X[0, :3])]
    fault_in(parquet(image=sizes), r"train.parquet, row 3 has 3 x 5 pixels, .*row 0 has 6 x 5")
    monkeypatch.setattr(parquet_file, "MAX_BYTES", 10**6)
    huge = [png(np.zeros((1000, 1000), np.uint8))] * 4
    fault_in(parquet(image=huge), "row 1: more than 1,000,000 pixels are not read")
    monkeypatch.undo()
    path = parquet()
    content = path.read_bytes()
    for damaged in (b"", content[:100], content[:-9], b"PAR1" + bytes(4) + b"\xff\xff\0\0PAR1"):
        path.write_bytes(damaged)
        fault_in(path, "is no Parquet file, or a part of one; download it again")
    path.write_bytes(content[:10] + bytes(200) + content[210:])
    fault_in(path, "train.parquet.* damaged|cannot be read")
    capfd.readouterr()


def test_parquet_without_its_reader(tmp_path, monkeypatch):
    (tmp_path / "train.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "arro3.io", None)
    with pytest.raises(MissingExtraError, match=r'pip install -e "\.\[parquet\]"'):
        load_data(tmp_path)
    code = "import sys, mnistcore.data; print('PIL' in sys.modules, 'arro3' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_the_largest_picture(monkeypatch, folder):
    monkeypatch.setattr(picture, "_MOST_PIXELS", 30)
    load_data(folder)
    monkeypatch.setattr(picture, "_MOST_PIXELS", 29)
    fault_in(folder, "has 5 x 6 pixels; a network reads every pixel")
