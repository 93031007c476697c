"""Tables in text: how they are laid out, and where they are wrong."""

import bz2
import gzip
import lzma
import time
import tracemalloc

import numpy as np
import pytest

from mnistcore.data import DataError, csv_file
from mnistcore.data import table as table_module
from mnistcore.data.table import read_table, read_tables

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (12, 25), np.uint8)
PIXELS[:, [0, -1]] = 0
LABELS = np.arange(12) % 3
ROWS = [[str(y), *map(str, row)] for y, row in zip(LABELS, PIXELS.tolist(), strict=True)]


def text(rows=ROWS, sign=",", end="\n") -> str:
    return "".join(sign.join(row) + end for row in rows)


@pytest.fixture
def table_of(tmp_path):
    """Write a file and read it as a table."""

    def read(content, name="digits.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        assert csv_file.recognises(path)
        return read_table(path)

    return read


PLAIN = text().encode()
HEADED = [["label", *(f"p{i}" for i in range(25))], *ROWS]
COLUMNS = list(zip(*HEADED, strict=True))
MOVED = [[*row[1:8], row[0], *row[8:]] for row in HEADED]
SAME_TABLES = {
    "commas": PLAIN,
    "semicolons": text(sign=";"),
    "tabs": text(sign="\t"),
    "spaces": text(sign="  ", end=" \n"),
    "carriage returns": text(end="\r\n"),
    "no line end at the end": PLAIN.rstrip(),
    "blank lines": text(end="\n\n") + "\n  \n",
    "quotes": text([[f'"{cell}"' for cell in row] for row in HEADED]),
    "byte order mark": b"\xef\xbb\xbf" + text(HEADED).encode(),
    "UTF-16 of PowerShell": text(HEADED).encode("utf-16"),
    "UTF-16 without a mark": text().encode("utf-16-le"),
    "gzip": gzip.compress(PLAIN),
    "bzip2": bz2.compress(PLAIN),
    "xz": lzma.compress(PLAIN),
    "floats": text([[f"{float(cell):.1f}" for cell in row] for row in ROWS]),
    "label in the middle": text(MOVED),
    "columns in the order of the alphabet": text(zip(*sorted(COLUMNS), strict=True)),
    "a class_id": text([["class_id", *HEADED[0][1:]], *ROWS]),
    "Class": text([["Class", *HEADED[0][1:]], *ROWS]),
    "label last": text([[*row[1:], row[0]] for row in ROWS]),
    "one-hot": text([[*row[1:], *("01"[int(row[0]) == k] for k in range(3))] for row in ROWS]),
    "numbered columns": text([list(map(str, range(26))), *ROWS]),
    "label and numbered columns": text([["label", *map(str, range(25))], *ROWS]),
    "index and numbered columns": text(
        [["", *map(str, range(26))], *([str(i), *row] for i, row in enumerate(ROWS))]
    ),
    "columns numbered from 2": text([["label", *map(str, range(2, 27))], *ROWS]),
    "columns as floats": text([["label", *(f"{i}.0" for i in range(25))], *ROWS]),
    "columns of three digits": text([["label", *(f"{i:03}" for i in range(25))], *ROWS]),
    "rows and columns": text([["label", *(f"{i}.{j}" for i in range(5) for j in range(5))], *ROWS]),
    "rows and columns alone": text(
        [[str(101 + 30 * i + j) for i in range(13) for j in (0, 9)], *ROWS]
    ),
    "columns that pandas renamed": text([["7", "0", *(f"0.{i}" for i in range(1, 25))], *ROWS]),
    "index column": text([["", *HEADED[0]], *([str(9 + i), *r] for i, r in enumerate(ROWS))]),
}


@pytest.mark.parametrize("content", SAME_TABLES.values(), ids=SAME_TABLES.keys())
def test_the_same_table_in_many_forms(content, table_of):
    table = table_of(content)
    np.testing.assert_array_equal(table.pixels, PIXELS)
    assert table.pixels.dtype == np.uint8
    np.testing.assert_array_equal(table.labels, LABELS)
    assert table.images.shape == (12, 5, 5)


def test_rows_in_several_chunks(table_of, monkeypatch):
    monkeypatch.setattr(table_module, "_CHUNK", 5)
    np.testing.assert_array_equal(table_of(PLAIN).pixels, PIXELS)
    rows = [list(row) for row in ROWS]
    rows[7][3] = "0.5"  # from the second chunk on the pixels are floats
    table = table_of(text(rows))
    assert table.pixels.dtype == np.float32
    assert table.pixels[7, 2] == 0.5
    np.testing.assert_array_equal(table.pixels[0], PIXELS[0])


def test_names_as_labels_and_rows_without_labels(table_of):
    table = table_of(text([["cat" if row[0] == "0" else "dog", *row[1:]] for row in ROWS]))
    assert list(table.labels) == ["cat" if y == 0 else "dog" for y in LABELS]
    rows = [[{"0": '"shirt, top"', "1": '"x ""y"""'}.get(row[0], "z"), *row[1:]] for row in ROWS]
    assert list(table_of(text(rows)).labels[:3]) == ["shirt, top", 'x "y"', "z"]
    table = table_of(text([row[1:] for row in HEADED]))
    assert table.labels is None
    table = table_of(
        text([["id", *HEADED[0][1:]], *([f"n{i}", *r[1:]] for i, r in enumerate(ROWS))])
    )
    assert table.labels is None
    assert (table.id_name, table.ids[:2]) == ("id", ["n0", "n1"])


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("index", [False, True])
def test_labels_beside_pictures_that_fill_their_corners(last, index, table_of):
    pixels = np.random.default_rng(0).integers(0, 8, (12, 25)).astype(str).tolist()
    rows = [
        [*row, str(y)] if last else [str(y), *row] for y, row in zip(LABELS, pixels, strict=True)
    ]
    if index:
        rows = [["", *map(str, range(26))], *([str(i), *row] for i, row in enumerate(rows))]
    np.testing.assert_array_equal(table_of(text(rows)).labels, LABELS)


@pytest.mark.parametrize("header", [[], [[*(f"p{i}" for i in range(25)), "which"]]])
def test_the_label_of_a_single_class_is_told_from_the_pixel_in_the_corner(header, table_of):
    rows = [["3", *row[1:]] for row in ROWS]
    first = table_of(text([["which", *header[0][:-1]] for _ in header] + rows))
    last = table_of(text(header + [[*row[1:], row[0]] for row in rows]))
    for table in (first, last):
        assert table.labels.tolist() == [3] * 12
        np.testing.assert_array_equal(table.pixels, PIXELS)


def test_two_tables_have_the_label_in_one_place(tmp_path):
    """A test set of a single class, the zeros, cannot tell where its label is."""
    zeros = [row for row in ROWS if row[0] == "0"]
    for name, rows in (("m_train.csv", ROWS), ("m_test.csv", zeros)):
        (tmp_path / name).write_text(text([[*row[1:], row[0]] for row in rows]))
    train, test = read_tables(tmp_path / "m_train.csv", tmp_path / "m_test.csv")
    np.testing.assert_array_equal(train.labels, LABELS)
    np.testing.assert_array_equal(test.pixels, PIXELS[LABELS == 0])


def test_two_tables_have_their_columns_in_one_order(tmp_path):
    names = [*"abcdefghijklmnopqrstuvwxy"]
    for file, order in (("m_train.csv", names), ("m_test.csv", names[::-1])):
        (tmp_path / file).write_text(text([["label", *order], *ROWS]))
    with pytest.raises(DataError, match=r"m_test.csv: has the columns of the training table in an"):
        csv_file.read(tmp_path)


def test_a_table_that_is_neither_training_nor_test_is_named(tmp_path):
    for part in ("train", "test", "val"):
        (tmp_path / f"m_{part}.csv").write_text(text())
    assert csv_file.read(tmp_path).notices == (f"Not read in {tmp_path}: m_val.csv.",)


@pytest.mark.parametrize("name", ["image_id", "Row ID", "sample-id"])
def test_a_column_of_ids_is_no_label(name, table_of):
    rows = [[name, *HEADED[0][1:]], *([str(i), *row[1:]] for i, row in enumerate(ROWS, 70))]
    table = table_of(text(rows))
    assert table.labels is None
    assert table.ids == [str(i) for i in range(70, 82)]
    np.testing.assert_array_equal(table.pixels, PIXELS)


def test_numbers_of_rows_are_no_labels(table_of):
    rows = [["number", *HEADED[0][1:]], *([str(i), *ROWS[i % 12][1:]] for i in range(100))]
    with pytest.raises(DataError, match=r"column 1 \(number\) holds another number in each row"):
        table_of(text(rows))


def test_pixels_from_minus_one_to_one_are_moved(table_of):
    rows = [[row[0], *(f"{float(p) / 127.5 - 1:.5f}" for p in row[1:])] for row in ROWS]
    table = table_of(text(rows))
    np.testing.assert_allclose(table.pixels, PIXELS / np.float32(255), atol=1e-5)
    assert "moved to 0 to 1" in table.notices[0]


def test_both_tables_of_a_set_are_moved_or_neither(tmp_path):
    """Also where no picture of the test has a pixel of exactly -1."""
    rows = [[row[0], *(f"{float(p) / 127.5 - 1:.5f}" for p in row[1:])] for row in ROWS]
    (tmp_path / "x_train.csv").write_text(text(rows))
    inner = [[row[0], *(f"{max(float(cell), -0.9)}" for cell in row[1:])] for row in rows]
    (tmp_path / "x_test.csv").write_text(text(inner))
    raw = csv_file.read(tmp_path / "x_train.csv")
    assert raw.test.images.min() == pytest.approx(0.05)
    assert len(raw.notices) == 2


def test_a_picture_of_shades_in_the_first_row_is_no_header(table_of):
    """Nor are a label that stands for a number among names, and a sign that is a class."""
    shades = [["0", *map(str, range(5, 255, 10))], *ROWS]
    np.testing.assert_array_equal(table_of(text(shades)).labels, [0, *LABELS])
    rows = [["0?A"[i % 3], *row[1:]] for i, row in enumerate(ROWS)]
    assert set(table_of(text(rows)).labels) == {"0", "?", "A"}


def changed(row, column, cell, rows=HEADED):
    rows = [list(r) for r in rows]
    rows[row][column] = cell
    return text(rows)


FAULTS = {
    "text": (changed(4, 3, "x"), r"line 5, column 4 \(p2\) holds 'x' where the number of a pixel"),
    "nothing": (changed(4, 25, ""), r"line 5, column 26 \(p24\) holds nothing"),
    "not a number": (changed(4, 3, "nan"), r"line 5, column 4 \(p2\) holds 'nan'"),
    "infinite": (changed(4, 3, "1e999"), r"line 5, column 4 \(p2\) holds '1e999'"),
    "no header": (changed(4, 3, "x", ROWS), "line 5, column 4 holds 'x'"),
    "ragged": (text([*HEADED, ROWS[0][:-1]]), "line 14 has 25 columns, the header has 26"),
    "ragged rows": (text([*ROWS, [*ROWS[0], "1"]]), "line 13 has 27 columns, the first row has 26"),
    "no label": (changed(4, 0, ""), "line 5 has no label"),
    "no label among names": (
        text([["AB"[i % 2] * (i != 4), *r[1:]] for i, r in enumerate(ROWS)]),
        "line 5 has no label",
    ),
    "a missing label": (changed(4, 0, "NaN"), "line 5 has no label"),
    "Latin-1": (changed(4, 0, "\xe4").encode("latin-1"), "line 5 holds letters that are not in"),
    "half a label": (changed(4, 0, "2.5"), "holds the label 2.5; labels are whole numbers"),
    "not square": (
        text([row[:-1] for row in HEADED]),
        "has 24 columns beside the label, where 4 x 4",
    ),
    "colour": (text([["label", *"abc" * 25], *([r[0], *r[1:] * 3] for r in ROWS)]), "convert the"),
    "no square": (text([row[:-4] for row in ROWS]), "has 22 columns, where 4 x 4 pixels have 16"),
    "too small": (text([row[:17] for row in ROWS]), "its rows have 17 cells, too few for pictures"),
    "two ones": (
        text([[*row[1:], *("110" if i == 7 else "100")] for i, row in enumerate(ROWS)]),
        "line 8 has no single 1 in its last 3 columns",
    ),
    "quotes": (changed(4, 0, '"'), "line 5 has [12] columns, the header has 26"),
    "only a header": (text(HEADED[:1]), "holds no rows"),
    "empty": (b"", "holds no rows"),
    "binary": (PLAIN + b"\0\0\0", "line 13 holds bytes that are no text"),
    "damaged gzip": (gzip.compress(PLAIN)[:-20], "compressed data is damaged"),
    "damaged bzip2": (bz2.compress(PLAIN)[:-20], "compressed data is damaged"),
    "damaged xz": (lzma.compress(PLAIN)[:-20], "compressed data is damaged"),
}


@pytest.mark.parametrize(("content", "words"), FAULTS.values(), ids=FAULTS.keys())
def test_what_is_wrong_is_named_with_its_place(content, words, table_of, tmp_path):
    with pytest.raises(DataError, match=words) as caught:
        table_of(content)
    assert str(caught.value).startswith(f"{tmp_path / 'digits.csv'}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["pendigits.tra", "letter-recognition.data"])
def test_tables_of_measures_are_refused(name, table_of):
    label = ["T"] if name.startswith("letter") else []
    rows = [[*label, *map(str, row[: 17 - len(label)])] for row in PIXELS.tolist()]
    with pytest.raises(DataError, match="holds something else"):
        table_of(text(rows), name)


def test_sizes_are_bounded(table_of, monkeypatch):
    monkeypatch.setattr(table_module, "MAX_BYTES", 299)
    with pytest.raises(DataError, match="holds 300 pixels; at most 299 are read"):
        table_of(PLAIN)
    monkeypatch.setattr(table_module, "MAX_BYTES", 301)
    table_of(PLAIN)
    with pytest.raises(DataError, match="300 pixels that are no bytes, too many"):
        table_of(text([[row[0], "0.5", *row[2:]] for row in ROWS]))


def test_a_table_that_grows_while_it_is_read_is_told(table_of, monkeypatch):
    layout_and_rows = table_module.scan

    def before(path, like):
        layout, rows = layout_and_rows(path, like)
        return layout, rows - 1

    monkeypatch.setattr(table_module, "scan", before)
    with pytest.raises(DataError, match="has grown while it was read; try again"):
        table_of(PLAIN)


def test_a_bomb_is_not_unpacked(table_of):
    content = gzip.compress(b"1" * 2**26)
    tracemalloc.start()
    with pytest.raises(DataError, match="line 1 has 16,777,216 characters or more"):
        table_of(content)
    assert tracemalloc.get_traced_memory()[1] < 2**27
    tracemalloc.stop()


def test_a_folder_with_several_tables(tmp_path):
    for name in ("one_train.csv", "two_train.csv"):
        (tmp_path / name).write_bytes(PLAIN)
    with pytest.raises(
        DataError, match=r"several tables \(one_train.csv, two_train.csv\); name one"
    ):
        csv_file.read(tmp_path)
    (tmp_path / "two_train.csv").rename(tmp_path / "two_test.csv")
    assert csv_file.read(tmp_path).test is None  # a test set of other data
    (tmp_path / "two_test.csv").rename(tmp_path / "one_test.csv")
    np.testing.assert_array_equal(csv_file.read(tmp_path).test.labels, LABELS)


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("Training.csv", "Testing.csv"),
        ("TRAIN.tsv", "TEST.tsv"),
        ("digits-training.csv.gz", "digits-test.csv"),
        ("train-of-train.csv", "train-of-test.csv"),
        ("optdigits.tra", "optdigits.tes"),
    ],
)
def test_the_test_set_beside(train, test, tmp_path):
    for name in (train, test):
        (tmp_path / name).write_bytes(PLAIN)
    raw = csv_file.read(tmp_path / train)
    np.testing.assert_array_equal(raw.test.labels, LABELS)
    assert raw.source == f"{tmp_path / train} and {test}"
    assert csv_file.read(tmp_path / test).test is None


def test_without_labels_there_is_nothing_to_learn(tmp_path):
    path = tmp_path / "train.csv"
    path.write_text(text([row[1:] for row in ROWS]))
    with pytest.raises(
        DataError, match=f"has no column of labels; .* mnistcore predict RUN {path}"
    ):
        csv_file.read(path)


@pytest.mark.parametrize("content", [b"\0\0\x08\x03", b"hello\n", b"", b"\x89PNG", b"a,b\n1,2\n"])
def test_other_files_are_not_recognised(content, tmp_path):
    (tmp_path / "file").write_bytes(content)
    assert not csv_file.recognises(tmp_path / "file")
    assert not csv_file.recognises(tmp_path)
    assert not csv_file.recognises(tmp_path / ("x" * 3000))


def test_a_large_table_is_read_fast(tmp_path):
    row = ",".join(map(str, RNG.integers(0, 256, 784))) + "\n"
    (tmp_path / "train.csv").write_text("".join(f"{i % 10},{row}" for i in range(5000)))
    start = time.perf_counter()
    csv_file.read(tmp_path / "train.csv")
    assert time.perf_counter() - start < 5  # 0.2 s on an idle machine
