"""The readers, each with valid files and what it may raise.

A seed is a dict of parts, and ``pack`` makes files of it: so the members of a zip file are
changed while its checksums stay right. The seed's file itself is changed as well.
"""

import contextlib
import dataclasses
import gzip
import io
import json
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from small_models import make_model

from mnistcore.__main__ import main
from mnistcore.data import read_idx, write_idx
from mnistcore.data.idx import IdxError, map_idx
from mnistcore.data.loading import load_data
from mnistcore.interchange import to_numpy, to_torch
from mnistcore.interchange.conversion import run as convert
from mnistcore.models import checkpoint
from mnistcore.models.model import TrainedOn
from mnistcore.pictures.files import PictureError, open_picture
from mnistcore.search.config import make_plan, read_file
from mnistcore.training.config import build_config

Parts = Mapping[str, bytes]
DIGITS = tuple("0123456789")  # predict reads no other names
NAMES = ("<script>alert(1)</script>", "\x1b]0;title\x07", "=cmd()", "*/", "a\nb", *"fghij")


@dataclasses.dataclass(frozen=True)
class Target:
    """A reader: its valid files, how their parts make files, and what it may raise."""

    seeds: Callable[[], Sequence[Parts]]
    read: Callable[[Path], None]
    allowed: tuple[type[Exception], ...]
    name: str = "x"
    pack: Callable[[Parts], Parts] = dict  # of names of files; a single one is called as `name`
    seconds: float = 5.0
    megabytes: float = 400.0
    short: int = 150


# IDX


def _idx_seeds():
    arrays = np.arange(40, dtype=np.uint8).reshape(2, 4, 5), np.arange(3, dtype=">f8"), np.zeros(0)
    raw = [_encoded(lambda path, a=array: write_idx(path, a), "x") for array in arrays]
    return [{"": one} for one in (*raw, gzip.compress(raw[0]))]


def _read_idx(path):
    found = []
    for read in (read_idx, map_idx):
        with contextlib.suppress(IdxError):
            found.append(np.array(read(path)))
    if len(found) == 2:
        np.testing.assert_array_equal(*found)


# Tables in text


def _table_seeds():
    rows = [",".join(map(str, [label, *range(25)])) for label in (3, 1, 3, 1, 3, 1, 3, 1)]
    header = ",".join(["label", *(f"p{i}" for i in range(25))])
    named = "\n".join([header, *rows]).replace("3,0", '"a,b",0').replace("1,0", "=c(),0")
    libsvm = "\n".join(f"{k % 2} 1:{k} 2:9 3:0.5 4:1 5:2 25:255" for k in range(8))
    texts = ("\n".join(rows), named, "\n".join(rows).replace(",", ";"))
    seeds = [{"csv": text.encode()} for text in texts]
    return [*seeds, {"csv": gzip.compress(named.encode())}, {"libsvm": libsvm.encode()}]


# Zip files of arrays


def _npz(*rows, **arrays):
    packed = io.BytesIO()
    np.savez(packed, *rows, **arrays)
    with zipfile.ZipFile(packed) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _zipped(parts):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return {"": packed.getvalue()}


def _data_npz_seeds():
    images, labels = np.arange(8 * 25, dtype=np.uint8).reshape(8, 5, 5), np.array([3, 1] * 4)
    test = {"x_test": images[:3].astype(np.float16), "y_test": labels[:3]}
    names = np.array([*NAMES, *NAMES])[labels]
    return [_npz(x_train=images, y_train=labels, **test), _npz(x=images / 255, y=names)]


def _weight_seeds():
    model = dataclasses.replace(make_model((12, 5, 3), "relu", (3, 4)), class_names=NAMES[:3])
    plain = {"w0": np.ones((12, 5)), "b0": np.ones(5), "w1": np.ones((5, 3)), "b1": np.ones(3)}
    norm = {f"1.{name}": np.ones(5) for name in ("weight", "bias", "running_mean", "running_var")}
    torch = {"0.weight": np.ones((5, 12)), "2.weight": np.ones((3, 5), np.float16), **norm}
    with zipfile.ZipFile(io.BytesIO(to_numpy.encode(model))) as archive:
        ours = {name: archive.read(name) for name in archive.namelist()}
    return [ours, _npz(**plain), _npz(**torch), _npz(*plain.values())]


def _convert(path):
    convert(path, path.with_name("y.safetensors"), activation="relu")


# Safetensors


def _split(content):
    length = int.from_bytes(content[:8], "little")
    return {"header": content[8 : 8 + length], "numbers": content[8 + length :]}


def _joined(parts):
    return {"": len(parts["header"]).to_bytes(8, "little") + parts["header"] + parts["numbers"]}


def hostile_model(names=NAMES):
    """A model of 28 x 28 pixels with names that no program should obey."""
    model = make_model((784, 10), shape=(28, 28))
    data = TrainedOn("\x1b[31mred", "0" * 64, "/tmp/<b>=x", ("*/ \x1b]0;remark\x07",), "no digits")
    config = {"seed": 0, "note": "<script>\x1b[2J", "hidden": []}
    return dataclasses.replace(model, class_names=names, data=data, config=config)


def _encoded(write, name):
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder, name))
        return Path(folder, name).read_bytes()


def _model_seeds():
    small = make_model((12, 5, 3), "relu", (3, 4))
    models = (small, hostile_model())
    return [_split(_encoded(lambda path, m=one: checkpoint.save(path, m), "x")) for one in models]


def _load(path):
    model = checkpoint.load(path)
    with contextlib.suppress(ValueError), np.errstate(all="ignore"):
        model.predict(np.zeros((2, *model.input_shape)), "numpy")


# Options


def _config_seeds():
    toml = b'epochs = 3\nhidden = [64, 32]\noptimizer = "adam"\nlog = ["csv"]\naugment = true\n'
    search = (
        b"[search]\ntrials = 9\n[space]\nlearning_rate = {low = 1e-4, high = 1.0, log = true}\n"
    )
    search += b'activation = ["relu", "tanh"]\nhidden = ["64-32", "9"]\n[train]\nepochs = 2\n'
    return [
        {"toml": toml}, {"json": json.dumps({"epochs": 3, "dropout": [0.1, 0.2]}).encode()},
        {"search": search},
    ]  # fmt: skip


def _read_options(path):
    if path.name == "search":
        settings, space, train = read_file(path)
        from mnistcore.search.config import SearchConfig

        make_plan(SearchConfig(**settings), space, train)
    else:
        build_config({}, path)


# Pictures


def _picture_seeds():
    grey = Image.fromarray(np.arange(24 * 20, dtype=np.uint8).reshape(24, 20))
    colour = Image.merge("RGB", [grey] * 3)
    wide = Image.fromarray(np.arange(24 * 20, dtype=np.uint16).reshape(24, 20) * 130)
    indexed = colour.quantize(16)
    indexed.info["transparency"] = 3
    kinds = [(grey, "PNG", {}), (wide, "PNG", {}), (indexed, "PNG", {"transparency": 3})]
    kinds += [(colour, name, {}) for name in ("JPEG", "BMP", "GIF", "WEBP")]
    kinds += [(colour, "TIFF", {"compression": c}) for c in ("raw", "tiff_lzw", "jpeg")]
    kinds += [
        (wide, "TIFF", {"compression": "tiff_adobe_deflate"}),
        (grey.convert("I"), "TIFF", {}),
    ]
    return [{"": _saved(*kind)} for kind in kinds]


def _saved(image, kind, settings):
    content = io.BytesIO()
    image.save(content, kind, **settings)
    return content.getvalue()


def _with_right_sums(parts):
    """Mend the checksums of a PNG's chunks, so that its decoder goes on."""
    content = parts[""]
    if not content.startswith(b"\x89PNG") or zlib.crc32(content) % 4 == 0:
        return parts
    place, mended = 8, bytearray(content)
    while place + 12 <= len(mended):
        (length,) = struct.unpack_from(">I", mended, place)
        if place + 12 + length > len(mended):
            break
        sum_ = zlib.crc32(mended[place + 4 : place + 8 + length])
        struct.pack_into(">I", mended, place + 8 + length, sum_)
        place += 12 + length
    return {"": bytes(mended)}


# Run folders, through the commands


def _run_seeds():
    record = {
        "epoch": 1, "train_loss": 0.5, "train_accuracy": 0.9, "validation_loss": 0.4,
        "validation_accuracy": 0.8, "learning_rate": 0.1, "seconds": 1.5,
    }  # fmt: skip
    summary = {"data": "\x1b[31m<b>", "train_seconds": 3.5, "samples_per_second": 1e5, "n": [[1]]}
    lines = [json.dumps(record | {"epoch": epoch}) for epoch in (1, 2, 3)]
    return [
        {
            **_split(_encoded(lambda path: checkpoint.save(path, hostile_model(DIGITS)), "x")),
            "metrics.jsonl": "\n".join([*lines, ""]).encode(),
            "summary.json": json.dumps(summary | {"versions": {"x": "*/"}}).encode(),
            "config.json": json.dumps({"epochs": 3, "seed": 0}).encode(),
        }
    ]


def _run_folder(parts):
    if "header" not in parts:
        return parts
    rest = {name: content for name, content in parts.items() if "." in name}
    return {**rest, "model.safetensors": _joined(parts)[""]}


def digits_file(folder, names=NAMES):
    """Write a small data set of 28 x 28 pixels, whose classes have hostile names."""
    images = np.random.default_rng(0).integers(0, 256, (40, 28, 28), np.uint8)
    labels = np.array(names)[np.arange(40) % len(names)]
    np.savez(folder / "digits.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    stroke = Image.new("L", (60, 60), 255)
    stroke.paste(20, (27, 10, 33, 50))
    stroke.save(folder / "digit.png")
    return folder / "digits.npz"


def _commands(*commands):
    def read(folder):
        data, picture = folder.parent / "digits.npz", folder.parent / "digit.png"
        if not data.exists():
            digits_file(folder.parent, DIGITS)
        for command in commands:
            words = {
                "evaluate": ["--data", str(data), "--backend", "numpy"],
                "report": ["--data", str(data), "--backend", "numpy"],
                "predict": [str(picture), "--backend", "numpy", "--csv"],
                "export": ["--to", "c"],
            }[command]
            run_command([command, str(folder), *words])

    return read


def run_command(words):
    """Run a command; return its status, output and errors, which no terminal may obey."""
    out, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        status = main(words)
    said = errors.getvalue()
    assert status in (0, 2), said
    shown = out.getvalue() + said
    if "FORCE_COLOR" in os.environ:  # the colours and movements of rich
        shown = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", shown)
    assert not set("\x1b\x07\x9b\u202e") & set(shown), shown
    if status == 2:
        *_, last = said.splitlines()
        assert re.fullmatch(r"mnistcore.{0,20}: error: .{1,2100}", last), said
    return status, out.getvalue(), said


TARGETS = {
    "idx": Target(_idx_seeds, _read_idx, (), short=600),
    "table": Target(_table_seeds, lambda path: load_data(path), (ValueError,)),
    "npz": Target(_data_npz_seeds, lambda path: load_data(path), (ValueError,), "x.npz", _zipped),
    "weights": Target(_weight_seeds, _convert, (ValueError,), "x.npz", _zipped),
    "torch-weights": Target(
        lambda: [_split(to_torch.encode(make_model((12, 5, 3), "relu", (3, 4))))],
        _convert, (ValueError,), "x.safetensors", _joined,
    ),
    "model": Target(_model_seeds, _load, (ValueError,), "x.safetensors", _joined),
    "config": Target(_config_seeds, _read_options, (ValueError, TypeError), "x"),
    "picture": Target(
        _picture_seeds, lambda path: open_picture(path), (PictureError,), "x", _with_right_sums,
        megabytes=1000,
    ),
    "run": Target(
        _run_seeds, _commands("evaluate", "predict", "export"), (), "run", _run_folder, short=30
    ),
    "report": Target(
        _run_seeds, _commands("report"), (), "run", _run_folder, seconds=60, short=2
    ),
}  # fmt: skip
