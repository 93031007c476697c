"""Files of PyTorch: every way to save a state_dict, batch normalisation, and what is refused."""

import os
import pickle
import re
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from mnistcore.__main__ import main
from mnistcore.convert import run
from mnistcore.interchange import weight_file
from mnistcore.kernels import numpy_kernels

IMAGES = np.random.default_rng(2).integers(0, 256, (30, 36), np.uint8)


@pytest.fixture
def torch(consumer):
    found = consumer("torch")
    found.manual_seed(0)
    return found


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def perceptron(torch):
    nn = torch.nn
    return nn.Sequential(nn.Linear(36, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4))


def outputs(torch, network):
    """The logits for pixels in [0, 1], in float64, with batch normalisation as in inference."""
    network = network.double().eval()
    with torch.no_grad():
        return network(torch.from_numpy(IMAGES).double() / 255).numpy()


def check(torch, path, network, **options):
    found = run(path, "m.safetensors", **{"activation": "relu", **options})
    shown = found.model.logits(numpy_kernels, IMAGES)
    expected = outputs(torch, network)
    np.testing.assert_allclose(shown, expected, atol=1e-5 * np.abs(expected).max())
    return found


def parallel(state):
    return OrderedDict((f"module.{name}", tensor) for name, tensor in state.items())


WAYS = {
    "state_dict": lambda torch, net, optimizer: net.state_dict(),
    "state_dict under a key": lambda torch, net, optimizer: {
        "epoch": 3, "state_dict": net.state_dict(), "optimizer": optimizer.state_dict(),
        "best_acc1": torch.tensor(98.1), "arch": "mlp",
    },
    "tutorial": lambda torch, net, optimizer: {
        "epoch": 3, "model_state_dict": net.state_dict(),
        "optimizer_state_dict": optimizer.state_dict(), "loss": 0.1,
    },
    "model": lambda torch, net, optimizer: {"model": net.state_dict(), "args": None},
    "a name of its own": lambda torch, net, optimizer: {"mlp": net.state_dict(), "accuracy": 0.98},
    "DataParallel": lambda torch, net, optimizer: {"state_dict": parallel(net.state_dict())},
    "compiled": lambda torch, net, optimizer: OrderedDict(
        (f"_orig_mod.{name}", tensor) for name, tensor in net.state_dict().items()
    ),
    "Lightning": lambda torch, net, optimizer: {
        "epoch": 2, "global_step": 1720, "pytorch-lightning_version": "2.4.0",
        "state_dict": OrderedDict(
            {
                **{f"model.{name}": tensor for name, tensor in net.state_dict().items()},
                "criterion.weight": torch.ones(4),
                "val_acc.tp": torch.tensor(9000),
            }
        ),
        "loops": {"fit_loop": {"state_dict": {}}}, "callbacks": {},
        "optimizer_states": [optimizer.state_dict()], "lr_schedulers": [],
        "hyper_parameters": {"lr": 0.001},
    },
    "parameters": lambda torch, net, optimizer: list(net.parameters()),
}  # fmt: skip


@pytest.mark.parametrize("old", [False, True], ids=["zip", "before 1.6"])
@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_save_a_state_dict(torch, place, way, old):
    network = perceptron(torch)
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.rand(5, 36)).sum().backward()
    optimizer.step()
    content = WAYS[way](torch, network, optimizer)
    torch.save(content, "w.pt", _use_new_zipfile_serialization=not old)
    found = check(torch, "w.pt", network)
    if "key" in way:
        assert found.left_out == ("epoch", "optimizer", "best_acc1", "arch")
    if way == "Lightning":
        assert {"criterion.weight", "val_acc.tp"} <= set(found.left_out)


@pytest.mark.parametrize("kind", ["float64", "float16", "bfloat16"])
def test_types_of_numbers(torch, place, kind):
    network = perceptron(torch)
    state = {name: one.to(getattr(torch, kind)) for name, one in network.state_dict().items()}
    torch.save(state, "w.pth")
    network.load_state_dict({name: one.double() for name, one in state.items()})
    check(torch, "w.pth", network)
    from safetensors.torch import save_file

    save_file(state, "w.safetensors")
    check(torch, "w.safetensors", network)


def with_statistics(torch, network):
    """Give batch normalisation statistics and constants as after training."""
    for one in network.modules():
        if isinstance(one, torch.nn.BatchNorm1d):
            one.running_mean.normal_(0, 0.5)
            one.running_var.uniform_(0.01, 2)
            if one.affine:
                torch.nn.init.uniform_(one.weight, 0.5, 2)
                torch.nn.init.normal_(one.bias)
    return network


def block(torch, units, order, affine=True):
    nn = torch.nn
    norm, inputs = nn.BatchNorm1d(units[1], affine=affine), nn.Linear(*units, bias=affine)
    return [inputs, norm, nn.ReLU()] if order == "before" else [inputs, nn.ReLU(), norm]


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("order", ["before", "after"])
def test_the_numbers_of_a_sequential_tell_the_place(torch, place, order, affine, suffix):
    nn = torch.nn
    layers = [
        nn.BatchNorm1d(36), *block(torch, (36, 8), order, affine), nn.Dropout(0.5),
        *block(torch, (8, 8), order, affine), nn.Linear(8, 4), nn.BatchNorm1d(4),
    ]  # fmt: skip
    network = with_statistics(torch, nn.Sequential(*layers))
    save(torch, network, f"w{suffix}")
    found = check(torch, f"w{suffix}", network)
    places = ((2, 1), (6, 5)) if order == "before" else ((3, 1), (7, 5))
    first, second = (
        f"batch normalisation {norm} (eps 1e-05) acts {order} the activation of {layer}"
        for norm, layer in places
    )
    unseen = "" if order == "before" else ", as it is most often"  # the dropout could be a ReLU
    assert found.remarks[:2] == (first + unseen, second)
    assert found.remarks[2:] == ("0 is folded into the first layer",)
    assert not found.left_out


def test_room_on_both_sides_of_a_normalisation_is_said_and_decided(torch, place):
    nn = torch.nn
    layers = nn.Linear(36, 8), nn.Dropout(), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 4)
    network = with_statistics(torch, nn.Sequential(*layers))
    save(torch, network, "w.safetensors")
    found = run("w.safetensors", activation="relu")
    assert found.remarks[0].endswith("acts after the activation of 0, as it is most often")
    check(torch, "w.safetensors", network, batch_norm="before")


def save(torch, network, path):
    if path.endswith(".pt"):
        torch.save(network.state_dict(), path)
    else:
        from safetensors.torch import save_file

        save_file(network.state_dict(), path)


def module(torch, order, norms_last):
    """A module with names for its layers, whose code decides what follows what."""
    nn = torch.nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1 = nn.Linear(36, 8)
            if not norms_last:
                self.bn1 = nn.BatchNorm1d(8)
            self.fc2 = nn.Linear(8, 8)
            self.bn2 = nn.BatchNorm1d(8)
            self.fc3 = nn.Linear(8, 4)
            if norms_last:
                self.bn1 = nn.BatchNorm1d(8)

        def forward(self, x):
            for layer, norm in ((self.fc1, self.bn1), (self.fc2, self.bn2)):
                x = layer(x)
                x = norm(x).relu() if order == "before" else norm(x.relu())
            return self.fc3(x)

    return with_statistics(torch, Net())


@pytest.mark.parametrize("norms_last", [False, True])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_named_modules_are_taken_in_the_usual_order_or_as_the_option_says(
    torch, place, suffix, norms_last
):
    network = module(torch, "before", norms_last)
    save(torch, network, f"w{suffix}")
    found = check(torch, f"w{suffix}", network)
    assert "acts before the activation of fc1, as it is most often" in found.remarks[0]
    network = module(torch, "after", norms_last)
    save(torch, network, f"w{suffix}")
    found = check(torch, f"w{suffix}", network, batch_norm="after")
    assert found.remarks[1].endswith("bn2 (eps 1e-05) acts after the activation of fc2")


def test_an_eps_of_ones_own(torch, place):
    nn = torch.nn
    network = nn.Sequential(
        nn.Linear(36, 8), nn.BatchNorm1d(8, eps=0.5), nn.ReLU(), nn.Linear(8, 4)
    )
    torch.save(with_statistics(torch, network).state_dict(), "w.pt")
    check(torch, "w.pt", network, bn_eps=0.5)


def test_one_normalisation_of_two_layers_it_fits_needs_a_number(torch, place, capsys):
    network = module(torch, "before", True)
    state = {name.replace("bn2", "norm"): one for name, one in network.state_dict().items()}
    state = {name: one for name, one in state.items() if "bn1" not in name}
    torch.save(state, "w.pt")
    refused(capsys, "w.pt", r"fits after several layers: norm \(8 units\); number the names")
    torch.save({name.replace("norm", "bn1"): one for name, one in state.items()}, "w.pt")
    assert (
        "bn1 (eps 1e-05) acts before the activation of fc1"
        in run("w.pt", activation="relu").remarks[0]
    )


def test_two_classes_with_one_output(torch, place):
    nn = torch.nn
    network = nn.Sequential(nn.Linear(36, 8), nn.Tanh(), nn.Linear(8, 1))
    torch.save(network.state_dict(), "w.pt")
    found = run("w.pt", activation="tanh", class_names=["three", "eight"]).model
    chance = 1 / (1 + np.exp(-outputs(torch, network)[:, 0]))
    np.testing.assert_allclose(found.predict_proba(IMAGES, numpy_kernels)[:, 1], chance, atol=1e-6)
    assert found.class_names == ("three", "eight")


def refused(capsys, path, message, *flags):
    before = sorted(Path().rglob("*"))
    flags = flags or ("--activation", "relu")
    assert main(["convert", str(path), *flags]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"mnistcore convert: error: .*\n", err), err
    assert re.search(message, err), err
    assert sorted(Path().rglob("*")) == before


class Harm:
    """What a pickle can do to who opens it."""

    def __reduce__(self):
        return os.mkdir, ("harm",)


def spoil(torch, name):
    """Write w.pt with a content that is refused."""
    network = perceptron(torch)
    state = network.state_dict()
    content = {
        "module": network,
        "harm": {"state_dict": state, "harm": Harm()},
        "numpy": {"state_dict": state, "accuracy": np.float64(0.98)},
        "two": {"generator": state, "discriminator": dict(state)},
        "none": {"epoch": 3, "note": "x"},
        "text": "weights",
        "tensor": torch.ones(3),
        "sparse": {**state, "0.weight": state["0.weight"].to_sparse()},
        "expanded": {**state, "x.weight": torch.ones(1).expand(2**20, 2**20)},
        "float8": {**state, "0.weight": state["0.weight"].to(torch.float8_e5m2)},
        "nan": {**state, "0.bias": torch.full((8,), torch.nan)},
        "layer norm": torch.nn.Sequential(*perceptron(torch), torch.nn.LayerNorm(4)).state_dict(),
        "prelu": torch.nn.Sequential(*perceptron(torch), torch.nn.PReLU()).state_dict(),
        "no statistics": torch.nn.Sequential(
            torch.nn.Linear(36, 8), torch.nn.BatchNorm1d(8, track_running_stats=False)
        ).state_dict(),
        "negative variance": {
            **torch.nn.Sequential(*block(torch, (36, 8), "before")).state_dict(),
            "1.running_var": torch.full((8,), -1.0),
        },
        "convolution": {"conv1.weight": torch.zeros(8, 1, 3, 3), **state},
        "deep": {"a": {"b": {"c": {"d": {"e": {"f": state}}}}}},
    }[name]  # fmt: skip
    torch.save(content, "w.pt")


SPOILED = {
    "module": r"is a whole pickled module .*\(torch.nn.modules.container.Sequential\), which could"
    r" run any program; .* torch.save\(model.state_dict\(\), 'weights.pt'\)",
    "harm": r"holds other objects \((posix|nt).mkdir\)",
    "numpy": r"holds an object of NumPy \(numpy.*scalar\) .* save the weights alone",
    "two": "the weights of one network; found generator, discriminator",
    "none": "the weights of one network; found none",
    "text": "holds no state_dict but a str",
    "tensor": "holds no state_dict but a Tensor",
    "sparse": "has 0.weight of torch.float32, torch.sparse_coo, which is not converted",
    "expanded": "holds 1,099,5.* numbers; at most",
    "float8": "has 0.weight of torch.float8_e5m2",
    "nan": "has numbers in 0 that are not finite in float32",
    "layer norm": r"has 5 \(4,\); only dense layers",
    "prelu": r"has 5 \(1,\); only dense layers",
    "no statistics": r"has 1 \(8,\); only dense layers",
    "negative variance": "has a variance in 1 that is not positive",
    "convolution": r"has conv1 \(8, 1, 3, 3\); only dense layers",
    "deep": "the weights of one network; found none|holds no weights",
}


@pytest.mark.parametrize("name", SPOILED)
def test_what_is_no_state_dict_is_refused(torch, place, capsys, name):
    spoil(torch, name)
    refused(capsys, "w.pt", f"w.pt: .*{SPOILED[name]}")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript_is_named_and_its_way_out_works(torch, place, capsys):
    network = perceptron(torch)
    torch.jit.trace(network, torch.zeros(1, 36)).save("model.pt")
    message = r"is a TorchScript program; save its weights with (torch.save\(torch.jit.load.*\))"
    refused(capsys, "model.pt", message)
    main(["convert", "model.pt"])
    exec(re.search(message, capsys.readouterr().err)[1], {"torch": torch})
    check(torch, "weights.pt", network)


def test_cut_files_are_refused(torch, place, capsys):
    for old in (False, True):
        torch.save(perceptron(torch).state_dict(), "w.pt", _use_new_zipfile_serialization=not old)
        content = Path("w.pt").read_bytes()
        for length in (len(content) // 3, len(content) - 20):
            Path("w.pt").write_bytes(content[:length])
            refused(capsys, "w.pt", "w.pt: is (a )?damaged")


def test_a_plain_pickle_is_not_opened(place, capsys):
    with open("w.pt", "wb") as file:
        pickle.dump(Harm(), file)
    refused(capsys, "w.pt", r"is a pickle, .* torch.save\(model.state_dict\(\), 'weights.pt'\)")


def test_a_bomb_in_the_zip_is_told_by_its_size(place, capsys, monkeypatch):
    monkeypatch.setattr(weight_file, "MAX_BYTES", 2**20)
    with zipfile.ZipFile("w.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("w/data.pkl", b"\x80\x02.")
        archive.writestr("w/data/0", bytes(2**22))
    refused(capsys, "w.pt", "holds 4,194,307 bytes of arrays; at most 1,048,576 are read")


def test_without_torch_both_ways_out_are_named(place, capsys, monkeypatch):
    with zipfile.ZipFile("w.pt", "w") as archive:
        archive.writestr("w/data.pkl", b"\x80\x02}.")
    monkeypatch.setitem(sys.modules, "torch", None)
    refused(capsys, "w.pt", r"pip install torch, or save .*safetensors.torch.save_file\(model")
