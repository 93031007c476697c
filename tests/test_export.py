"""The command that writes models for other programs: files, words, and every kind of bad input."""

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from small_digits import write_small_digits
from small_models import make_model

from mnistcore import export, get_backend
from mnistcore.__main__ import main
from mnistcore.data import load_data
from mnistcore.models import checkpoint
from mnistcore.models.model import TrainedOn
from mnistcore.train import TrainConfig
from mnistcore.train import run as train_run
from mnistcore.training.data_options import RunDataOptions

DEFAULT_NAMES = {
    "onnx": "model.onnx",
    "torch": "model-torch.safetensors",
    "numpy": "model.npz",
    "c": "model.c",
}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working folder with a run of a small model, and no data that anybody named."""
    monkeypatch.delenv("MNISTCORE_DATA_DIR", raising=False)
    monkeypatch.setenv("MNISTCORE_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "work/run").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work")
    checkpoint.save("run/model.safetensors", make_model((36, 8, 4), "tanh", (6, 6)))
    return tmp_path / "work"


@pytest.mark.parametrize("to", export.FORMATS)
def test_a_run_folder_is_exported_beside_its_model(place, capsys, consumer, to):
    if to == "onnx":
        consumer("onnx")
    assert main(["export", "run", "--to", to]) == 0
    written = place / "run" / DEFAULT_NAMES[to]
    out, err = capsys.readouterr()
    assert err == ""
    assert re.search(r"^network  36-8-4, 332 parameters", out, re.MULTILINE)
    assert f"{written.stat().st_size:,} bytes" in out
    assert sorted(path.name for path in Path("run").iterdir()) == sorted(
        ["model.safetensors", DEFAULT_NAMES[to], *(["model.h"] if to == "c" else [])]
    )


def test_a_model_file_is_exported_to_the_file_that_is_named(place, capsys):
    assert main(["export", "run/model.safetensors", "--to", "c", "--output", "a b.c"]) == 0
    assert "cc -std=c99 -O2 -DMNISTCORE_MAIN 'a b.c' -o digits -lm" in capsys.readouterr().out
    assert "int a_b_predict(const uint8_t image[36]);" in Path("a b.h").read_text()
    assert "int a_b_predict(const uint8_t image[INPUTS])" in Path("a b.c").read_text()


def test_json_says_what_was_written(place, capsys):
    assert main(["export", "run", "--to", "numpy", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["path"] == "run/model.npz"
    assert summary["bytes"] == Path("run/model.npz").stat().st_size
    assert summary["layer_sizes"] == [36, 8, 4]
    assert summary["header"] is summary["int8_loss"] is None


def test_the_cost_of_8_bits_is_measured_on_the_data_of_the_run(place, capsys):
    data = write_small_digits(place / "digits")
    config = TrainConfig(
        backend="numpy", hidden=16, epochs=15, batch_size=32, data=str(data), output="trained"
    )
    result = train_run(config)
    assert main(["export", "trained", "--to", "c", "--int8"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert re.search(r"right on [\d.]+ % of 120 test images \(digits\), .* with float weights", out)
    exported = export.run("trained", "c", int8=True)
    assert exported.int8_loss.float_accuracy == result.summary["test_accuracy"]
    assert exported.int8_loss.same_labels >= 117
    assert str(exported.int8_loss) in Path("trained/model-int8.c").read_text()


def test_the_cost_of_8_bits_is_measured_on_the_data_that_is_named(place, capsys):
    data = write_small_digits(place / "digits")
    flags = ["--to", "c", "--int8", "--json"]
    assert main(["export", "run", *flags, "--data", str(data)]) == 0
    assert json.loads(capsys.readouterr().out)["int8_loss"]["images"] == 120


def test_without_data_the_cost_of_8_bits_is_not_known(place, capsys):
    model = make_model((36, 8, 4), "tanh", (6, 6))
    model.config["data"] = "gone"
    checkpoint.save("run/model.safetensors", model)
    assert main(["export", "run", "--to", "c", "--int8"]) == 0
    shown = capsys.readouterr().out
    assert re.search("accuracy +not measured: .*gone: no such file or folder", shown)
    assert Path("run/model-int8.c").exists()


def test_what_takes_bytes_takes_all_of_them_though_training_had_floats(place):
    model = make_model((36, 8, 4), "relu", (6, 6), scale=1.0, pixel_max=1.0)
    for floats, full, factor in ((True, 255, "0.003921569f"), (False, 1, "1.0f")):
        checkpoint.save("run/model.safetensors", dataclasses.replace(model, float_pixels=floats))
        content = export.run("run", "c").path.read_text()
        assert f"raw pixels from 0 to {full}, row by row" in content
        assert f"x[i] = (float)image[i] * {factor};" in content
        assert "images.flatten(1).float() / 1)" in export.run("run", "torch").usage


def test_pixels_below_0_are_no_bytes(place):
    data = TrainedOn("some", "0" * 64, paper=-1.0)
    model = make_model((36, 8, 4), "relu", (6, 6), scale=1.0, pixel_max=1.0)
    model = dataclasses.replace(model, float_pixels=True, data=data)
    checkpoint.save("run/model.safetensors", model)
    for to in ("c", "onnx"):
        with pytest.raises(
            ValueError, match=r"run.*: was trained on pixels below 0, which the bytes"
        ):
            export.run("run", to)
    export.run("run", "numpy")
    export.run("run", "onnx", float_input=True)


def test_other_data_than_those_of_the_training_are_named(place):
    write_small_digits(place / "digits")
    data = TrainedOn("some", "0" * 64)
    model = dataclasses.replace(make_model((36, 8, 4), "tanh", (6, 6)), data=data)
    checkpoint.save("run/model.safetensors", model)
    options = RunDataOptions(data=str(place / "digits"))
    loss = export.run("run", "c", int8=True, measured_on=options).int8_loss
    assert loss.data == "digits, which it was not trained on"


def test_the_extra_is_named_where_onnx_is_missing(place, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert main(["export", "run", "--to", "onnx"]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert 'pip install -e ".[onnx]" in' in err


@pytest.mark.parametrize("command", ["export", "convert"])
def test_help_is_quick_because_it_loads_nothing_heavy(command):
    heavy = ("numba", "rich", "pooch", "safetensors", "onnx", "onnxruntime", "torch", "matplotlib")
    code = (
        f"import sys; from mnistcore.{command} import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        f"print(sorted(set(sys.modules) & set({heavy!r})))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


BAD_LINES = [
    ([], "the following arguments are required: --to"),
    (["--to", "c"], "there is no finished run in runs/; name a RUN, or make one: mnistcore"),
    (["run"], "the following arguments are required: --to"),
    (["run", "--to", "tflite"], "argument --to: must be one of onnx, .*, c, got 'tflite'"),
    (["run", "run", "--to", "c"], "no format holds several networks; export each RUN alone"),
    (["none", "--to", "c"], "none: no such file; give a run folder or a .safetensors file"),
    (["empty", "--to", "c"], "empty/model.safetensors: no such file"),
    (["text.safetensors", "--to", "c"], "is not a safetensors file, or is damaged"),
    (["short.safetensors", "--to", "c"], "is not a safetensors file, or is damaged"),
    (["zero.safetensors", "--to", "c"], "is not a safetensors file, or is damaged"),
    (["other.safetensors", "--to", "c"], "was not written by mnistcore: .*mnistcore convert"),
    (["model.pkl", "--to", "c"], "is not a safetensors file, or is damaged"),
    (["nan.safetensors", "--to", "c"], "has weights that are not finite"),
    (["run", "--to", "onnx", "--int8"], "int8 is for format c, not onnx"),
    (["run", "--to", "c", "--float-input"], "float-input is for format onnx, not c"),
    (["run", "--to", "c", "--data", "mnist"], "options of data are for int8"),
    (["run", "--to", "c", "--int8", "--data", "gone"], "gone: no such file or folder"),
    (["run", "--to", "c", "--output", "x.onnx"], r"x.onnx: .* must end in \.c"),
    (["run", "--to", "c", "--output", "empty"], "empty: cannot be written, because it is a folder"),
    (["run", "--to", "c", "--output", "no/x.c"], "no/x.c: cannot be written, because there is no"),
    (["run", "--to", "c", "--output", "mine.c"], "mine.h: is no header of an exported model"),
    (
        ["run", "--to", "torch", "--output", "run/../run/model.safetensors"],
        "is the file that is read; give output another name",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "message"), BAD_LINES)
def test_bad_input_gets_one_clear_line(place, capsys, arguments, message):
    content = Path("run/model.safetensors").read_bytes()
    Path("empty").mkdir()
    Path("text.safetensors").write_text("a poem")
    Path("short.safetensors").write_bytes(content[:-100])
    Path("zero.safetensors").write_bytes(b"")
    Path("mine.h").write_text("int mine;")
    Path("model.pkl").write_bytes(b"\x80\x04\x95")
    save_file({"conv.weight": np.zeros((3, 3), np.float32)}, "other.safetensors")
    broken = make_model((36, 8, 4), "tanh", (6, 6))
    broken.params[5] = np.nan
    checkpoint.save("nan.safetensors", broken)
    before = sorted(place.rglob("*"))
    assert main(["export", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"mnistcore export: error: .*\n", err)
    assert re.search(message, err)
    assert sorted(place.rglob("*")) == before
    assert Path("run/model.safetensors").read_bytes() == content


def test_a_write_protected_folder_is_told(place, capsys, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: False)  # the superuser may write anywhere
    assert main(["export", "run", "--to", "c"]) == 2
    assert "because run is write-protected" in capsys.readouterr().err


def test_an_exported_header_is_replaced(place):
    export.run("run", "c")
    before = Path("run/model.h").read_bytes()
    assert export.run("run", "c").header == Path("run/model.h")
    assert Path("run/model.h").read_bytes() == before


def test_a_failed_write_leaves_the_old_file_and_nothing_else(place, monkeypatch):
    Path("run/model.c").write_text("old")

    def full_disk(*arguments):
        raise OSError("no space left")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="no space left"):
        export.run("run", "c")
    assert Path("run/model.c").read_text() == "old"
    assert len(list(Path("run").iterdir())) == 2


@pytest.fixture(scope="module")
def trained(mnist_dir, tmp_path_factory):
    """A model of the real MNIST after two epochs, its test images, labels and probabilities."""
    run = tmp_path_factory.mktemp("trained") / "run"
    dataset = load_data("mnist", mnist_dir)
    config = TrainConfig(epochs=2, data_dir=str(mnist_dir), output=str(run))
    model = train_run(config, dataset=dataset).model
    probs = model.predict_proba(dataset.test_images, get_backend("numpy"))
    return run, dataset.test_images, dataset.test_labels, probs


@pytest.mark.parametrize("float_input", [False, True])
def test_onnxruntime_reads_mnist_as_the_model_does(consumer, trained, tmp_path, float_input):
    onnxruntime = consumer("onnxruntime")
    run, images, _, probs = trained
    export.run(run, "onnx", tmp_path / "m.onnx", float_input=float_input)
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    given = images.astype(np.float32) / 255 if float_input else images
    label, probabilities = session.run(["label", "probabilities"], {"images": given})
    np.testing.assert_array_equal(label, probs.argmax(axis=1))
    np.testing.assert_allclose(probabilities, probs, atol=1e-5)


def test_torch_reads_mnist_as_the_model_does(consumer, trained, tmp_path, monkeypatch):
    torch = consumer("torch")
    run, images, _, probs = trained
    exported = export.run(run, "torch", tmp_path / "m.safetensors")
    monkeypatch.chdir(tmp_path)
    place = {"images": torch.from_numpy(images.copy())}
    exec(exported.usage, place)
    found = torch.softmax(place["logits"], 1).detach().numpy()
    np.testing.assert_array_equal(found.argmax(axis=1), probs.argmax(axis=1))
    np.testing.assert_allclose(found, probs, atol=1e-5)


def test_numpy_reads_mnist_as_the_model_does(trained, tmp_path, monkeypatch):
    run, images, _, probs = trained
    exported = export.run(run, "numpy", tmp_path / "m.npz")
    monkeypatch.chdir(tmp_path)
    place = {"images": images}
    exec(exported.usage, place)
    np.testing.assert_array_equal(place["labels"], probs.argmax(axis=1))


@pytest.mark.parametrize("int8", [False, True])
def test_c_reads_mnist_as_the_model_does(consumer, trained, tmp_path, int8):
    run, images, labels, probs = trained
    exported = export.run(run, "c", tmp_path / "m.c", int8=int8)
    strict = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-O2", "-DMNISTCORE_MAIN"]
    command = [consumer("cc"), *strict, "m.c", "-o", "m", "-lm"]
    subprocess.run(command, cwd=tmp_path, check=True)
    done = subprocess.run([tmp_path / "m"], input=images.tobytes(), capture_output=True, check=True)
    rows = np.array([line.split() for line in done.stdout.splitlines()], np.float64)
    exact = probs.argmax(axis=1)
    if not int8:
        np.testing.assert_array_equal(rows[:, 0], exact)
        np.testing.assert_allclose(rows[:, 1:], probs, atol=1e-5)
        return
    accuracy = (rows[:, 0] == labels).mean()
    assert accuracy > (exact == labels).mean() - 0.003
    assert abs(accuracy - exported.int8_loss.int8_accuracy) <= 0.0002
