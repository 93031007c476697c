"""Weights of other libraries: every way to name and turn them, and files that mean harm."""

import dataclasses
import io
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from small_models import MODELS, make_model

from mnistcore import export
from mnistcore.__main__ import main
from mnistcore.convert import run
from mnistcore.interchange import weight_file
from mnistcore.kernels import numpy_kernels
from mnistcore.models import checkpoint
from mnistcore.models.model import TrainedOn

SIZES = (36, 8, 8, 4)  # a square layer in the middle


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def model():
    return make_model(SIZES, "relu", (6, 6))


def layers_of(model):
    return model.network.views(model.params)


def sequential(model):
    """Names and layout of ``torch.nn.Sequential``."""
    tensors = {}
    for index, (weights, bias) in enumerate(layers_of(model)):
        tensors[f"{2 * index}.weight"] = np.ascontiguousarray(weights.T)
        tensors[f"{2 * index}.bias"] = bias
    return tensors


def module(model):
    """A PyTorch module whose layers sort in another order than they come."""
    names = ("net.input", "net.hidden", "net.output")
    tensors = {}
    for name, (weights, bias) in zip(names, layers_of(model), strict=True):
        tensors[f"{name}.weight"] = np.ascontiguousarray(weights.T)
        tensors[f"{name}.bias"] = bias
    return tensors


def keras(model):
    """Paths of Keras, in its numbering, and past 9."""
    tensors = {}
    for name, (weights, bias) in zip(
        ("dense_9", "dense_10", "dense_11"), layers_of(model), strict=True
    ):
        tensors[f"sequential/{name}/kernel"] = weights
        tensors[f"sequential/{name}/bias"] = bias
    return tensors


def keras_2(model):
    return {f"{name}:0": array for name, array in keras(model).items()}


def get_weights(model):
    """``numpy.savez(file, *model.get_weights())``."""
    arrays = [array for pair in layers_of(model) for array in pair]
    return {f"arr_{index}": array for index, array in enumerate(arrays)}


def scikit_learn(model):
    return {
        name: array
        for index, (weights, bias) in enumerate(layers_of(model))
        for name, array in ((f"coefs_{index}", weights), (f"intercepts_{index}", bias))
    }


def lecture(model):
    """W1, b1 ... with biases as rows, in float64."""
    return {
        name: array.astype(np.float64)
        for index, (weights, bias) in enumerate(layers_of(model), 1)
        for name, array in ((f"W{index}", weights), (f"b{index}", bias[None, :]))
    }


SPELLINGS = [sequential, module, keras, keras_2, get_weights, scikit_learn, lecture]


def save(arrays, suffix):
    path = Path("weights" + suffix)
    if suffix == ".npz":
        np.savez(path, **arrays)
    else:
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, path)
    return path


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_weights_come_in_by_any_name_and_either_way_round(place, model, spelling, suffix):
    found = run(save(spelling(model), suffix), activation="relu").model
    np.testing.assert_array_equal(found.params, model.params)
    assert found.network.layer_sizes == SIZES
    assert found.network.activation == "relu"
    assert (found.input_shape, found.scale, found.shift) == ((6, 6), 1 / 255, 0)
    assert found.pixel_max == 255  # which tells that floats up to 1 are on another scale
    assert found.class_names == ("0", "1", "2", "3")
    assert checkpoint.load("weights-mnistcore.safetensors").params.tobytes() == (
        model.params.tobytes()
    )


@pytest.mark.parametrize("to", ["torch", "numpy"])
@pytest.mark.parametrize("name", MODELS)
def test_what_was_exported_comes_back_as_it_was(place, name, to):
    data = TrainedOn("F/raw", "0" * 64, "/sets/F/raw", ("Odd.",), "upright")
    exported = dataclasses.replace(MODELS[name], data=data, float_pixels=name == "sixteen")
    checkpoint.save("m.safetensors", exported)
    path = export.run("m.safetensors", to).path
    found = run(path, "back.safetensors").model
    assert found.params.tobytes() == exported.params.tobytes()
    for part in ("input_shape", "scale", "shift", "class_names", "config", "data"):
        assert getattr(found, part) == getattr(exported, part)
    assert found.pixel_max == exported.pixel_max
    assert found.float_pixels == exported.float_pixels
    if len(found.network.layer_sizes) > 2:
        assert found.network.activation == exported.network.activation


@pytest.mark.parametrize("name", ["kernel", "weight"])
def test_square_layers_are_told_by_their_names(place, name):
    model = make_model((4, 4, 4), "tanh")
    arrays = {}
    for index, (weights, bias) in enumerate(layers_of(model)):
        arrays[f"{index}/{name}"] = weights if name == "kernel" else weights.T
        arrays[f"{index}/bias"] = bias
    found = run(save(arrays, ".npz"), activation="tanh")
    np.testing.assert_array_equal(found.model.params, model.params)
    assert found.layout == ("keras" if name == "kernel" else "torch")


def test_square_layers_without_names_need_the_layout(place):
    path = save(get_weights(make_model((4, 4, 4), "tanh")), ".npz")
    with pytest.raises(ValueError, match="has only square layers; give layout keras or torch"):
        run(path, activation="tanh")
    straight = run(path, activation="tanh", layout="keras").model
    turned = run(path, activation="tanh", layout="torch").model
    for (one, _), (other, _) in zip(layers_of(straight), layers_of(turned), strict=True):
        np.testing.assert_array_equal(one, other.T)


def test_shapes_win_over_names(place, model):
    arrays = {name: array.T for name, array in sequential(model).items()}
    found = run(save(arrays, ".npz"), activation="relu")
    np.testing.assert_array_equal(found.model.params, model.params)
    assert found.layout == "keras"


def test_layers_without_biases_get_zeros(place, model):
    arrays = {name: array for name, array in sequential(model).items() if "weight" in name}
    found = run(save(arrays, ".safetensors"), activation="relu").model
    for (weights, bias), (expected, _) in zip(layers_of(found), layers_of(model), strict=True):
        np.testing.assert_array_equal(weights, expected)
        assert not bias.any()


def test_layers_without_biases_follow_the_layout_of_their_names(place, model):
    """In the order of their names they fit, too, but the wrong way round."""
    (first, _), *_ = layers_of(model)
    arrays = {"hidden.weight": first.T, "classifier.weight": np.ones((4, first.shape[1]))}
    found = run(save(arrays, ".safetensors"), activation="relu")
    assert found.model.network.layer_sizes == (36, first.shape[1], 4)
    assert found.layout == "torch"


def test_a_gain_near_0_does_not_make_pixels_raw(place):
    """As weight decay leaves those of pixels that are always 0."""
    gains = np.ones(36)
    gains[:3] = 1e-3, 0, -1e-2
    arrays = {"0.weight": gains, "0.bias": np.zeros(36), "0.running_mean": np.zeros(36)}
    arrays |= {"0.running_var": np.ones(36), "1.weight": np.ones((4, 36)), "1.bias": np.zeros(4)}
    assert run(save(arrays, ".safetensors")).model.scale == 1 / 255
    arrays["0.weight"] = gains / 255
    assert run(save(arrays, ".safetensors")).model.scale == 1


def test_layers_that_fit_in_several_orders_must_be_put_in_order(place):
    model = make_model((6, 4, 4, 4, 2), "relu")
    order = ("in", "left", "right", "out")
    arrays = {}
    for name, (weights, bias) in zip(order, layers_of(model), strict=True):
        arrays |= {f"{name}.weight": weights.T, f"{name}.bias": bias}
    path = save(dict(sorted(arrays.items(), reverse=True)), ".safetensors")
    with pytest.raises(ValueError, match="fit in several orders; name them by layers, as in l"):
        run(path, activation="relu")
    found = run(path, activation="relu", layers=order).model
    np.testing.assert_array_equal(found.params, model.params)
    with pytest.raises(ValueError, match=r"has the layers in, left, out, right; got in, up"):
        run(path, activation="relu", layers=("in", "up"))
    with pytest.raises(ValueError, match=r"got in, in, out"):
        run(path, activation="relu", layers=("in", "in", "out"))
    with pytest.raises(ValueError, match=r"do not follow one another: out .*, in .*; layers names"):
        run(path, activation="relu", layers=("out", "in"))
    assert run(path, activation="relu", layers=("in", "out")).left_out == ("left", "right")


def test_a_number_in_the_name_tells_the_order(place):
    model = make_model((6, 4, 4, 4, 4, 2), "relu")
    arrays = {}
    for number, (weights, bias) in enumerate(layers_of(model), 8):
        arrays |= {f"fc{number}.weight": weights.T, f"fc{number}.bias": bias}
    found = run(save(arrays, ".safetensors"), activation="relu")
    np.testing.assert_array_equal(found.model.params, model.params)


def test_the_order_of_an_npz_file_is_that_of_the_network(place):
    model = make_model((6, 4, 4, 4, 2), "relu")
    arrays = {}
    for name, (weights, bias) in zip("dbca", layers_of(model), strict=True):
        arrays |= {f"{name}.weight": weights.T, f"{name}.bias": bias}
    found = run(save(arrays, ".npz"), activation="relu")
    np.testing.assert_array_equal(found.model.params, model.params)


def test_the_order_of_the_alphabet_tells_nothing(place):
    model = make_model((6, 4, 4, 4, 2), "relu")
    arrays = {}
    names = ("a", "mid_one", "mid_two", "z")
    for name, (weights, bias) in zip(names, layers_of(model), strict=True):
        arrays |= {f"{name}.weight": weights.T, f"{name}.bias": bias}
    with pytest.raises(ValueError, match="name them by layers, as a mid_one mid_two z"):
        run(save(arrays, ".safetensors"), activation="relu")


def test_pixels_that_were_normalised(place, model):
    path = save(sequential(model), ".safetensors")
    found = run(path, activation="relu", normalize=(0.1307, 0.3081)).model
    pixels = np.arange(256)
    entered = pixels * found.scale + found.shift
    np.testing.assert_allclose(entered, (pixels / 255 - 0.1307) / 0.3081, atol=1e-12)


def test_torch_trained_elsewhere_predicts_the_same(consumer, place):
    torch = consumer("torch")
    from safetensors.torch import save_file as save_tensors

    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(36, 9), torch.nn.Sigmoid(), torch.nn.Linear(9, 5))
    save_tensors(network.state_dict(), "net.safetensors")
    assert main(["convert", "net.safetensors", "--activation", "sigmoid"]) == 0
    images = np.random.default_rng(0).integers(0, 256, (20, 36), np.uint8)
    expected = network(torch.from_numpy(images).float() / 255).detach().numpy()
    found = checkpoint.load("net-mnistcore.safetensors")
    np.testing.assert_allclose(found.logits(numpy_kernels, images), expected, atol=1e-5)


def test_the_command_says_what_it_understood(place, capsys, model):
    save(sequential(model), ".safetensors")
    flags = ["--activation", "relu", "--class-names", "a", "b", "c", "d", "--input-shape", "4", "9"]
    assert main(["convert", "weights.safetensors", *flags, "--output", "m.safetensors"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert re.search(r"^network  36-8-8-4, relu, 404 parameters", out, re.MULTILINE)
    assert re.search(r"^layers   0, 2, 4; weights \(units, inputs\) as in torch", out, re.MULTILINE)
    assert re.search(
        r"^input    images of 4 x 9 pixels, each as pixel \* 0.0039", out, re.MULTILINE
    )
    assert checkpoint.load("m.safetensors").class_names == ("a", "b", "c", "d")


def convolutions(model):
    return {**sequential(model), "9.weight": np.zeros((3, 3, 1, 8), np.float32)}


def batch_norm(model):
    return {**sequential(model), "1.running_mean": np.zeros(8, np.float32)}


def layer_norm(model):
    return {**sequential(model), "1.weight": np.ones(8, np.float32)}


def integers(model):
    return {name: array.astype(np.int64) for name, array in sequential(model).items()}


def infinite(model):
    return {**sequential(model), "2.bias": np.full(8, np.inf, np.float32)}


def too_large(model):
    return {**lecture(model), "b2": np.full(8, 1e39)}


def wrong_bias(model):
    return {**sequential(model), "0.bias": np.zeros(7, np.float32)}


def bias_alone(model):
    return {**sequential(model), "7.bias": np.zeros(7, np.float32)}


def broken_chain(model):
    return {**sequential(model), "4.weight": np.zeros((4, 9), np.float32)}


def one_more_layer(model):
    return {**sequential(model), "Wout": np.zeros((4, 7), np.float32)}


def scales_alone(model):
    return {**sequential(model), "ln.gamma": np.ones(8, np.float32)}


def two_of_one(model):
    return {**sequential(model), "0.kernel": np.zeros((36, 8), np.float32)}


def unknown_vectors(model):
    vector = np.zeros(4, np.float32)
    return {**get_weights(model), "arr_6": vector, "arr_7": vector}


def no_such_units(model):
    statistics = {"running_mean": np.zeros(7, np.float32), "running_var": np.ones(7, np.float32)}
    return {**sequential(model), **{f"bn.{name}": array for name, array in statistics.items()}}


def unprintable(model):
    return {**sequential(model), "a\nb.weight": np.zeros((2, 2), np.float32)}


def endless(model):
    return {**sequential(model), "x" * 300: np.zeros((2, 2), np.float32)}


def nothing(model):
    return {}


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (convolutions, r"has 9 \(3, 3, 1, 8\); only dense layers"),
        (batch_norm, "has normalisation 1 without a running variance"),
        (layer_norm, r"has 1 \(8,\); only dense layers"),
        (integers, "of (int64|I64); weights"),
        (infinite, "has numbers in 2 that are not finite"),
        (too_large, "has numbers in 2 that are not finite"),
        (wrong_bias, r"has 0 \(8, 36\) with a bias of shape \(7,\)"),
        (bias_alone, "has a bias but no weights in layer 7"),
        (broken_chain, r"do not follow one another: 0 \(8, 36\), 2 \(8, 8\), 4 \(4, 9\)"),
        (one_more_layer, r"has Wout \(4, 7\), which fits the last layer; .* layers 0 2 4"),
        (scales_alone, "has normalisation ln without a running mean; only batch normalisation"),
        (two_of_one, "has two arrays of weights in layer 0"),
        (unknown_vectors, "has 3 vectors after arr_4, whose roles cannot be told"),
        (no_such_units, r"has batch normalisation that fits no layer: bn \(7 units\)"),
        (unprintable, r"impossible name: 'a\\nb.weight"),
        (endless, "impossible name: 'xxx"),
        (nothing, "holds no"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_what_is_no_perceptron_is_refused(place, capsys, model, arrays, message, suffix):
    save(arrays(model), suffix)
    refused(capsys, [f"weights{suffix}", "--activation", "relu"], message)


def refused(capsys, arguments, message):
    before = sorted(Path().rglob("*"))
    assert main(["convert", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"mnistcore convert: error: .*\n", err), err
    assert re.search(message, err), err
    assert sorted(Path().rglob("*")) == before


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "does not say the hidden layers' activation; give one of identity, logistic"),
        (["--activation", "gelu"], "argument --activation: must be one of .*, got 'gelu'"),
        (["--activation", "relu", "--layout", "keras"], "do not follow one another"),
        (["--activation", "relu", "--scale", "0"], "scale not 0"),
        (["--activation", "relu", "--shift", "nan"], "scale and shift must be finite"),
        (["--activation", "relu", "--normalize", "0.1", "0"], "a positive deviation"),
        (
            ["--activation", "relu", "--normalize", "0.1", "1", "--scale", "1"],
            "give either normalize, or scale and shift",
        ),
        (["--activation", "relu", "--input-shape", "28", "28"], "28 x 28 pixels do not fit"),
        (["--activation", "relu", "--input-shape", "-6", "-6"], "-6 x -6 pixels do not fit"),
        (["--activation", "relu", "--class-names", "a"], "got 1 class names for a network with 4"),
        (
            ["--activation", "relu", "--class-names", "a", "b", "a", "c"],
            "the class name 'a' is given twice",
        ),
        (["--activation", "relu", "--output", "x.npz"], "x.npz: .* must end in .safetensors"),
        (["--activation", "relu", "--output", "weights.safetensors"], "is the file that is read"),
    ],
)  # fmt: skip
def test_options_that_cannot_be_right_are_refused(place, capsys, model, flags, message):
    save(sequential(model), ".safetensors")
    refused(capsys, ["weights.safetensors", *flags], message)


def zip_of(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def npy(array, **settings):
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, **settings)
    return buffer.getvalue()


def claiming(shape):
    """An .npy file of 8 bytes whose header promises more."""
    buffer = io.BytesIO()
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, header)
    return buffer.getvalue() + bytes(8)


def changed(content, place):
    """The content with one byte changed."""
    return content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :]


FOREIGN_FILES = {
    "none": ("none.npz", None, "none.npz: no such file; give a file of weights"),
    "empty": ("w.npz", b"", "has none of the formats that are read"),
    "text": ("w.safetensors", b"a poem about weights", "has none of the formats that are read"),
    "header": ("w.safetensors", b"\xff" * 64, "has none of the formats that are read"),
    "pickle": ("w.bin", b"\x80\x04\x95.", r"is a pickle, .* torch.save\(model.state_dict"),
    "named a pickle": ("w.pth", b"(dp0", r"is a pickle, .* torch.save\(model.state_dict"),
    "other zip": ("w.npz", zip_of({"x.txt": b"x"}), "holds no weights but x.txt"),
    "odd zip": ("w.npz", zip_of({"x\n.txt": b"x"}), "impossible name"),
    "empty zip": ("w.npz", zip_of({}), "holds no weights but nothing"),
    "cut": ("w.npz", zip_of({"a.npy": npy(np.zeros(9))})[:-30], "is a damaged zip file"),
    "changed": ("w.npz", changed(zip_of({"a.npy": npy(np.arange(999.0))}), 300), "is a damaged"),
    "no array": ("w.npz", zip_of({"a.npy": b"hello"}), "magic string|is a damaged"),
    "objects": (
        "w.npz",
        zip_of({"a.npy": npy(np.array([{}]), allow_pickle=True)}),
        r"holds no weights of dense layers but a \(Python objects\)",
    ),
    "promise": ("w.npz", zip_of({"a.npy": claiming((10**6, 10**6))}), "of another size than its"),
    "overflow": ("w.npz", zip_of({"a.npy": claiming((2**62, 4))}), "of another size than its"),
}  # fmt: skip


@pytest.mark.parametrize("name", FOREIGN_FILES)
def test_files_that_are_no_weights_are_refused(place, capsys, name):
    path, content, message = FOREIGN_FILES[name]
    if content is not None:
        Path(path).write_bytes(content)
    refused(capsys, [path, "--activation", "relu"], message)


@pytest.mark.parametrize("start", [b"\x80\x02", b"PK"])
def test_the_length_of_a_header_is_not_taken_for_another_kind_of_file(place, model, start):
    tensors = {name: np.ascontiguousarray(array) for name, array in sequential(model).items()}
    save_file(tensors, "w.safetensors", {"padding": ""})
    length = int.from_bytes(Path("w.safetensors").read_bytes()[:8], "little")
    missing = int.from_bytes(start, "little") - length
    for padding in range(max(missing - 8, 0), missing + 8):
        save_file(tensors, "w.safetensors", {"padding": "x" * padding})
        if Path("w.safetensors").read_bytes().startswith(start):
            break
    assert Path("w.safetensors").read_bytes().startswith(start)
    found = run("w.safetensors", activation="relu").model
    np.testing.assert_array_equal(found.params, model.params)


def test_a_folder_is_refused(place, capsys):
    Path("w.npz").mkdir()
    refused(capsys, ["w.npz", "--activation", "relu"], "w.npz: is a folder; give the file")


def test_a_model_of_ours_is_refused(place, capsys, model):
    checkpoint.save("m.safetensors", model)
    refused(capsys, ["m.safetensors"], "m.safetensors: is a model of mnistcore already")


def test_a_bomb_is_told_by_its_size_before_it_is_unpacked(place, capsys, monkeypatch):
    zeros = np.zeros(2**24, np.uint8)
    Path("bomb.npz").write_bytes(zip_of({"a.npy": npy(zeros), "b.npy": npy(zeros)}))
    assert Path("bomb.npz").stat().st_size < 2**16
    monkeypatch.setattr(weight_file, "MAX_BYTES", 2**25)
    monkeypatch.setattr(zipfile.ZipFile, "open", None)  # whoever unpacks fails otherwise
    refused(capsys, ["bomb.npz"], "holds 33,554,688 bytes of arrays; at most 33,554,432 are read")


def test_small_numbers_count_as_the_large_ones_that_they_become(place, capsys, monkeypatch):
    weights = {"w": np.zeros((784, 200), np.float16)}
    np.savez_compressed("w.npz", **weights)
    save_file(weights, "w.safetensors")
    monkeypatch.setattr(weight_file, "MAX_BYTES", 2**20)  # thrice what float16 takes
    for path in ("w.npz", "w.safetensors"):
        refused(capsys, [path], "holds 156,800 numbers; at most 131,072 are read")


def test_a_large_safetensors_file_is_told_by_its_size(place, capsys, model, monkeypatch):
    save(sequential(model), ".safetensors")
    monkeypatch.setattr(weight_file, "MAX_BYTES", 1000)
    refused(capsys, ["weights.safetensors"], r"bytes of arrays; at most 1,000 are read")


@pytest.mark.parametrize(
    "names", [np.array([b"a", b"b", b"c", b"d"]), np.array("2001-01-01", "M8")]
)
def test_a_description_in_arrays_of_odd_types_is_refused(place, capsys, names):
    checkpoint.save("m.safetensors", make_model((36, 4), shape=(6, 6)))
    assert main(["export", "m.safetensors", "--to", "numpy", "--output", "m.npz"]) == 0
    with np.load("m.npz") as file:
        np.savez("w.npz", **{**file, "class_names": names})
    capsys.readouterr()
    refused(capsys, ["w.npz"], "w.npz: has a description that cannot be read")


@pytest.mark.parametrize(
    "description", ["{", "[]", "{}", '{"activations": ["gelu", "identity"]}', "[" * 100_000]
)
def test_a_description_that_cannot_be_right_is_refused(place, capsys, model, description):
    tensors = {name: np.ascontiguousarray(array) for name, array in sequential(model).items()}
    save_file(tensors, "w.safetensors", {"mnistcore": description})
    refused(capsys, ["w.safetensors"], "w.safetensors: has a description that cannot be read")
