"""Files of labelled images: what ``--data`` and ``--class-names`` read."""

import contextlib
import gzip
import io
import json
import zlib

import numpy as np
from PIL import Image

from mnistcore.data import (
    csv_file,
    h5_file,
    libsvm_file,
    npz_file,
    parquet_file,
    picture_folder,
    read_idx,
    write_idx,
)
from mnistcore.data.classes import read_class_names
from mnistcore.data.dataset import dataset_of
from mnistcore.data.folder import FILE_NAMES
from mnistcore.data.idx import IdxError, map_idx
from mnistcore.data.loading import load_data
from mnistcore.data.named_sets import file_names
from mnistcore.data.raw import DataError

from .hostile import NAMES
from .target import Target, npz, written, zipped

IMAGES = np.arange(8 * 25, dtype=np.uint8).reshape(8, 5, 5)
LABELS = np.array([3, 1] * 4, np.uint8)


def _idx(array):
    return written(lambda path: write_idx(path, array))


def _idx_seeds():
    arrays = np.arange(40, dtype=np.uint8).reshape(2, 4, 5), np.arange(3, dtype=">f8"), np.zeros(0)
    raw = [_idx(array) for array in arrays]
    return [{"x": one} for one in (*raw, gzip.compress(raw[0]))]


def _read_idx(path):
    mapped = None
    with contextlib.suppress(IdxError):
        mapped = np.array(map_idx(path))
    read = read_idx(path)
    if mapped is not None:
        np.testing.assert_array_equal(read, mapped)


def _folder_seeds():
    four = [_idx(one) for one in (IMAGES, LABELS, IMAGES, LABELS)]
    letters = dict(zip(file_names("emnist-letters"), four, strict=True))
    letters["emnist-letters-mapping.txt"] = b"1 65 97\n2 66 98\n3 67 99\n"
    qmnist = [four[0], _idx(np.tile(LABELS.astype(np.int32)[:, None], 3))] * 2
    kinds = [dict(zip(FILE_NAMES, four, strict=True)), letters]
    return [*kinds, dict(zip(file_names("qmnist"), qmnist, strict=True))]


def _kuzushiji_seeds():
    arrays = {"imgs": IMAGES, "labels": LABELS}
    files = {
        f"kmnist-{part}-{kind}.npz": zipped("x")(npz(array))["x"]
        for part in ("train", "test")
        for kind, array in arrays.items()
    }
    names = "index,codepoint,char\n0,U+304A,お\n1,U+304D,き\n3,x,\x1b]0;\n"
    return [files | {"kmnist_classmap.csv": names.encode()}]


def _table_seeds():
    rows = [",".join(map(str, [label, *range(25)])) for label in (3, 1, 3, 1, 3, 1, 3, 1)]
    header = ",".join(["label", *(f"p{i}" for i in range(25))])
    named = "\n".join([header, *rows]).replace("3,0", '"a,b",0').replace("1,0", "=c(),0")
    libsvm = "\n".join(f"{k % 2} 1:{k} 2:9 3:0.5 4:1 5:2 25:255" for k in range(8))
    texts = ("\n".join(rows), named, "\n".join(rows).replace(",", ";"))
    seeds = [{"x.csv": text.encode()} for text in texts]
    seeds += [{"x.csv": gzip.compress(named.encode())}, {"x.csv": named.encode("utf-16")}]
    return [*seeds, {"x.libsvm": libsvm.encode()}]


def _npz_seeds():
    labels = LABELS.astype(np.int64)
    test = {"x_test": IMAGES[:3].astype(np.float16), "y_test": labels[:3]}
    names = np.array([*NAMES, *NAMES])[labels]
    return [npz(x_train=IMAGES, y_train=labels, **test), npz(x=IMAGES / 255, y=names)]


def _usps_seeds():
    import h5py

    def write(path, **options):
        with h5py.File(path, "w") as file:
            for part in ("train", "test"):
                images = np.float32(IMAGES / 255).reshape(8, 25)
                file.create_dataset(f"{part}/data", data=images, **options)
                file[f"{part}/target"] = LABELS.astype(np.int64)

    packed = {"compression": "gzip", "chunks": (4, 5), "shuffle": True}
    return [{"x.h5": written(lambda path, o=one: write(path, **o))} for one in ({}, packed)]


def _saved(image, kind, **settings):
    content = io.BytesIO()
    image.save(content, kind, **settings)
    return content.getvalue()


def _parquet_seeds():
    from arro3 import core, io

    def write(path, pictures, labels):
        binary = core.DataType.binary()
        fields = [core.Field("bytes", binary), core.Field("path", core.DataType.utf8())]
        parts = [core.Array(pictures, binary), core.Array([None] * 4, core.DataType.utf8())]
        columns = {"image": core.struct_array(parts, fields=fields), "label": labels}
        names = json.dumps({"info": {"features": {"label": {"names": list(NAMES)}}}})
        schema = core.Table.from_pydict(columns).schema.with_metadata({"huggingface": names})
        io.write_parquet(core.Table.from_arrays([*columns.values()], schema=schema), str(path))

    pictures = [_saved(Image.fromarray(one), "PNG") for one in IMAGES[:4]]
    kinds = [core.Array([3, 1, 3, 1], core.DataType.int64())]
    kinds.append(core.Array(list("abab"), core.DataType.utf8()))
    return [{"x.parquet": written(lambda path, k=kind: write(path, pictures, k))} for kind in kinds]


def _picture_seeds():
    small = [Image.fromarray(one) for one in IMAGES]
    colour = Image.merge("RGBA", [small[0]] * 4)
    wide = Image.fromarray(np.arange(25, dtype=np.uint16).reshape(5, 5) * 130)
    kinds = [
        (small[0], "PNG"),
        (colour, "PNG"),
        (wide, "PNG"),
        (small[1], "PPM"),
        (small[2], "GIF"),
    ]
    kinds += [(small[3], "TIFF"), (wide, "TIFF"), (colour.convert("RGB"), "JPEG")]
    kinds += [(colour, "WEBP"), (small[4], "BMP")]
    return [
        {"0/a.png": _saved(image, kind), "1/b.png": _saved(small[5], "PNG")}
        for image, kind in kinds
    ]


def right_sums(content):
    """Mend the checksums of most PNGs' chunks, so that their decoder goes on."""
    if not content.startswith(b"\x89PNG") or zlib.crc32(content) % 4 == 0:
        return content
    place, mended = 8, bytearray(content)
    while place + 12 <= len(mended):
        end = place + 8 + int.from_bytes(mended[place : place + 4], "big")
        if end + 4 > len(mended):
            break
        mended[end : end + 4] = zlib.crc32(mended[place + 4 : end]).to_bytes(4, "big")
        place = end + 4
    return bytes(mended)


def _with_right_sums(parts):
    return {name: right_sums(content) for name, content in parts.items()}


def _names_seeds():
    return [{"x.txt": text.encode()} for text in ("a\nb\n\n c\n", "\ufeffä\r\n\x1b]0;\x07\nx")]


def _reader(*formats):
    """Return what loads data as ``load_data`` does, without asking the other formats."""

    def read(path):
        for module in formats:
            if module.recognises(path):
                return dataset_of(module.read(path))

    return read


TARGETS = {
    "idx": Target(_idx_seeds, _read_idx, (IdxError,), short=600),
    "idx-folder": Target(_folder_seeds, load_data, folder=True),
    "table": Target(_table_seeds, _reader(libsvm_file, csv_file)),
    "npz": Target(_npz_seeds, _reader(npz_file), pack=zipped("x.npz")),
    "npz-folder": Target(_kuzushiji_seeds, _reader(npz_file), folder=True),
    "usps": Target(_usps_seeds, _reader(h5_file)),
    "parquet": Target(_parquet_seeds, _reader(parquet_file)),
    "picture-folder": Target(
        _picture_seeds, _reader(picture_folder), pack=_with_right_sums, folder=True
    ),
    "class-names": Target(_names_seeds, lambda path: read_class_names([str(path)]), (DataError,)),
}
