"""Small files that unpack to very much: refused before they take memory or time."""

import gzip
import json
from collections import Counter

import numpy as np
import pytest

from mnistcore.convert import run as convert
from mnistcore.data import (
    DataError,
    Dataset,
    arrays,
    folder,
    libsvm_file,
    load_data,
    table,
    table_layout,
    text,
)
from mnistcore.data.folder import FILE_NAMES
from mnistcore.data.raw import LONGEST_NAME
from mnistcore.data.table import read_table
from mnistcore.system import copying

PIXELS = ",".join(map(str, range(25)))


def fault_in(path, words):
    with pytest.raises(DataError, match=words) as caught:
        load_data(path)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("name", ["x.csv", "x.libsvm"])
def test_blank_lines_come_to_an_end(tmp_path, name, monkeypatch):
    monkeypatch.setattr(text, "_BLANK", 1000)
    row = f"1,{PIXELS}\n" if name == "x.csv" else "1 1:1 2:2 3:3 4:4 5:5 6:6\n"
    content = row * 3 + "\n \n" * 600 + row
    (tmp_path / name).write_bytes(gzip.compress(content.encode()))
    fault_in(tmp_path / name, "has more than 1,000 blank lines")


@pytest.mark.parametrize("header", ["label", "id"])
def test_names_in_a_table_are_short(tmp_path, header):
    """NumPy gives each text of an array the room of the longest."""
    name = "x" * (LONGEST_NAME + 1)
    head = ",".join([header, *(f"p{i}" for i in range(25))])
    rows = [f"{one},{PIXELS}" for one in ("a", "b", name, "a")]
    (tmp_path / "x.csv").write_text("\n".join([head, *rows]))
    with pytest.raises(DataError, match=rf"line 4, column 1 \({header}\) holds 201 characters"):
        read_table(tmp_path / "x.csv")


def test_the_values_of_outer_columns_are_counted_in_little_memory(monkeypatch):
    monkeypatch.setattr(table_layout, "_MOST_DISTINCT", 3)
    counts = Counter()
    for cell in ("1", "2", "9" * 1000, "4", "5", "1"):
        table_layout._count(counts, cell)
    assert counts == {"1": 2, "2": 1, "9" * table_layout._LONGEST_NUMBER: 1, "": 2}


def test_long_rows_are_parsed_few_at_a_time(tmp_path, monkeypatch):
    rows = [f"{label},{PIXELS}" for label in (1, 2, 1, 2, 1)]
    (tmp_path / "x.csv").write_text("\n".join(rows))
    whole = read_table(tmp_path / "x.csv")
    monkeypatch.setattr(table, "_LONGEST_CHUNK", 100)
    layout, _ = table.scan(tmp_path / "x.csv")
    assert [len(lines) for _, lines in table._chunks(tmp_path / "x.csv", layout)] == [2, 2, 1]
    np.testing.assert_array_equal(read_table(tmp_path / "x.csv").pixels, whole.pixels)


def test_rows_without_values_take_room_too(tmp_path, monkeypatch):
    (tmp_path / "x").write_text("1 1:1 2:2 3:3 4:4 5:5 6:6\n" + "1\n" * 100)
    monkeypatch.setattr(libsvm_file, "MAX_BYTES", 20_000)
    fault_in(tmp_path / "x", "holds more values than")


@pytest.mark.parametrize("kind", ["idx", "npz", "csv"])
def test_the_number_of_images_is_bounded(tmp_path, monkeypatch, kind):
    """Labels and orders of a thousand million images of a pixel would take many times a GiB."""
    from mnistcore.data import write_idx

    for module in (folder, arrays, table):
        monkeypatch.setattr(module, "MAX_IMAGES", 5)
    images, labels = np.zeros((6, 5, 5), np.uint8), np.arange(6, dtype=np.uint8) % 2
    if kind == "idx":
        for name, array in zip(FILE_NAMES, [images, labels] * 2, strict=True):
            write_idx(tmp_path / name, array)
    elif kind == "npz":
        np.savez(tmp_path / "x.npz", x=images, y=labels)
    else:
        (tmp_path / "x.csv").write_text("\n".join([f"1,{PIXELS}"] * 6))
    fault_in(tmp_path if kind == "idx" else tmp_path / f"x.{kind}", "at most 5 are read")


def test_a_class_has_a_name_that_a_model_can_keep():
    labels = ["a", "b" * 201] * 20
    with pytest.raises(ValueError, match="a class whose name has 201 characters"):
        Dataset.from_arrays(np.zeros((40, 5, 5)), labels)


def test_a_description_among_arrays_is_small(tmp_path):
    path = tmp_path / "x.npz"
    names = dict.fromkeys(("activations", "input_shape", "shift", "class_names", "config"), "x")
    np.savez_compressed(path, w=np.ones((4, 2)), scale=np.zeros(2**22), **names)
    assert path.stat().st_size < 100_000
    with pytest.raises(ValueError, match="has a description that is too large"):
        convert(path)


def test_names_of_classes_in_weights_are_short(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, w=np.ones((4, 2)), b=np.ones(2))
    with pytest.raises(ValueError, match="names of classes have at most 200 characters"):
        convert(path, class_names=["a", "b" * 201])


def test_parquet_on_which_the_library_crashes(tmp_path, monkeypatch):
    pytest.importorskip("arro3.io")
    path = tmp_path / "train.parquet"
    path.write_bytes(b"PAR1" + bytes(8) + b"PAR1")
    crash = "import os; os.kill(os.getpid(), 6)"
    monkeypatch.setattr(copying, "_program", lambda copier: ["-c", crash])
    fault_in(path, r"is a damaged Parquet file \(reading it crashes\)")


def test_what_a_copier_takes_is_bounded(tmp_path):
    """A process that copies may have so much memory and no more."""
    code = (
        "import sys; from mnistcore.system import copying\n"
        "def copy(source, limit, into): bytes(2**30)\n"
        "copying.main(copy, 'HDF5')"
    )
    with pytest.MonkeyPatch.context() as patch, (tmp_path / "out").open("wb") as into:
        patch.setattr(copying, "_program", lambda copier: ["-c", code])
        with pytest.raises(ValueError, match=r"is a damaged HDF5 file \(MemoryError\)"):
            copying.run("hdf5_content", "HDF5", json.dumps({}).encode(), [1000], into)
