import argparse
import dataclasses
import json

import numpy as np
import pytest

from mnistcore.terminal.flags import add_flags, flags_given
from mnistcore.training.config import TrainConfig, given_options
from mnistcore.training.recipes import RECIPES

FLAGS = [
    "--data",
    "--data-dir",
    "--transpose",
    "--class-names",
    "--recipe",
    "--backend",
    "--hidden",
    "--activation",
    "--init",
    "--optimizer",
    "--learning-rate",
    "--momentum",
    "--nesterov",
    "--beta1",
    "--beta2",
    "--eps",
    "--schedule",
    "--batch-size",
    "--epochs",
    "--weight-decay",
    "--dropout",
    "--batch-norm",
    "--label-smoothing",
    "--teacher",
    "--teacher-temperature",
    "--teacher-weight",
    "--ema",
    "--clip-norm",
    "--max-norm",
    "--augment",
    "--augment-strength",
    "--augment-fade",
    "--adversarial",
    "--validation-fraction",
    "--patience",
    "--standardize",
    "--seed",
    "--threads",
    "--log",
    "--checkpoint-every",
    "--output",
]


def parse(*argv):
    parser = argparse.ArgumentParser()
    add_flags(parser, TrainConfig)
    return flags_given(parser.parse_args(argv), TrainConfig)


def test_without_options_it_is_the_default_recipe():
    config = TrainConfig()
    for name, value in RECIPES["relu-two-hidden"].settings.items():
        assert getattr(config, name) == value


def test_what_is_given_wins_over_the_recipe():
    config = TrainConfig(recipe="tanh-10-10", epochs=3, hidden=[20, 5])
    assert (config.epochs, config.hidden) == (3, (20, 5))
    assert config.activation == "tanh"
    assert config.batch_size == 32


def test_none_is_the_recipes_value():
    assert TrainConfig(recipe="tanh-10-10", epochs=None) == TrainConfig(recipe="tanh-10-10")


def test_another_optimizer_brings_its_own_learning_rate():
    assert TrainConfig(optimizer="sgd").learning_rate == 0.1
    assert TrainConfig(recipe="tanh-10-10", optimizer="adam").learning_rate == 0.001
    assert TrainConfig(optimizer="sgd", learning_rate=0.3).learning_rate == 0.3


def test_values_become_what_json_and_the_kernels_take():
    config = TrainConfig(
        epochs=np.int64(2), learning_rate=1, hidden=np.array([3, 4]), dropout=0.25, data_dir=None
    )
    assert type(config.epochs) is int
    assert type(config.learning_rate) is float
    assert (config.hidden, config.dropout) == ((3, 4), (0.25,))
    assert json.loads(json.dumps(config.to_dict()))["hidden"] == [3, 4]


def test_a_network_without_hidden_layers_is_allowed():
    assert TrainConfig(hidden=()).hidden == ()


def test_a_recipe_with_deformed_images_can_do_without():
    assert not TrainConfig(recipe="record", augment=False).augment


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, r"epochs must be in \[1, 200000\], got 0"),
        ({"hidden": [10, 0]}, r"hidden must be in \[1, 1000000\], got 0"),
        ({"batch_size": -1}, "batch_size must be in"),
        ({"learning_rate": 0}, "learning_rate must be above 0 and finite, got 0"),
        ({"learning_rate": float("nan")}, "learning_rate must be above 0 and finite, got nan"),
        ({"learning_rate": 10**400}, "learning_rate must be above 0 and finite, got inf"),
        ({"weight_decay": -0.1}, "weight_decay must be at least 0"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\), got 1.0"),
        ({"dropout": [0.1, 0.2, 0.3]}, r"one for each hidden layer \(2\), got 3"),
        ({"hidden": (), "dropout": (0.1, 0.2)}, "dropout is for hidden layers, and hidden is none"),
        ({"validation_fraction": 1}, r"validation_fraction must be in \[0, 1\)"),
        ({"seed": -1}, "seed must be in"),
        ({"threads": -1}, "threads must be in"),
        ({"optimizer": "adagrad"}, "optimizer must be one of sgd, adam, adamw, got 'adagrad'"),
        ({"activation": "gelu"}, "activation must be one of"),
        ({"recipe": "resnet"}, "recipe must be one of tanh-10-10"),
        ({"output": ""}, "output must not be empty"),
        ({"momentum": 0.9}, "momentum is for optimizer sgd, not adam"),
        ({"optimizer": "sgd", "beta1": 0.8}, "beta1 is for optimizer adam or adamw, not sgd"),
        ({"recipe": "tanh-10-10", "beta2": 0.9}, "beta2 is for optimizer adam or adamw, not sgd"),
        ({"optimizer": "sgd", "eps": 1e-6}, "eps is for optimizer adam or adamw, not sgd"),
        ({"nesterov": True}, "nesterov needs"),
        ({"batch_norm": True, "batch_size": 1}, "batch_norm needs more than one image in a batch"),
        ({"adversarial": 1e39}, "adversarial must be in"),
        ({"teacher_weight": 0.9}, "teacher_weight is for a teacher, and there is none"),
        ({"teacher_temperature": 3.0}, "teacher_temperature is for a teacher, and there is none"),
        ({"checkpoint_every": "often"}, "every must be a number of epochs, minutes or seconds"),
        ({"checkpoint_every": "0epochs"}, "such as 5epochs, 2minutes or 30seconds, or none; got"),
        ({"checkpoint_every": "1.5minutes"}, "got '1.5minutes'"),
        ({"patience": 3, "validation_fraction": 0}, "patience needs validation"),
        ({"augment_strength": 2.0}, "augment_strength is for deformed images, and augment is off"),
        ({"augment_fade": 0.2}, "augment_fade is for deformed images, and augment is off"),
    ],
)
def test_a_value_out_of_range_is_a_value_error(options, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": "3"}, "epochs must be a whole number, got '3'"),
        ({"epochs": 1.5}, "epochs must be a whole number"),
        ({"epochs": True}, "epochs must be a whole number"),
        ({"learning_rate": "0.1"}, "learning_rate must be a number"),
        ({"hidden": "128"}, "hidden must be a whole number"),
        ({"hidden": [[1], 2]}, "hidden must be a whole number"),
        ({"nesterov": 1}, "nesterov must be true or false"),
        ({"data": 3}, "data must be text"),
        ({"seed": None}, "seed must be a whole number"),
    ],
)
def test_a_value_of_another_kind_is_a_type_error(options, message):
    with pytest.raises(TypeError, match=message):
        TrainConfig(**options)


def test_every_flag_is_there_and_no_other():
    parser = argparse.ArgumentParser(add_help=False)
    add_flags(parser, TrainConfig)
    flags = [flag for action in parser._actions for flag in action.option_strings]
    assert [flag for flag in flags if not flag.startswith("--no-")] == FLAGS


def test_every_option_says_what_it_is_and_its_default():
    parser = argparse.ArgumentParser()
    add_flags(parser, TrainConfig)
    for action in parser._actions[1:]:
        assert "(default: " in action.help
    assert "128 64, or the recipe's" in " ".join(parser.format_help().split())


def test_only_the_flags_that_are_given_count():
    assert parse() == {}
    assert parse("--hidden", "5", "6", "--dropout", "0.1", "--nesterov", "--epochs", "7") == {
        "hidden": (5, 6),
        "dropout": (0.1,),
        "nesterov": True,
        "epochs": 7,
    }
    assert parse("--no-standardize") == {"standardize": False}


def test_an_error_in_a_flag_names_the_flag():
    with pytest.raises(TypeError, match=r"^--batch-size must be a whole number, got 'many'"):
        parse("--batch-size", "many")
    with pytest.raises(ValueError, match=r"^--learning-rate must be above 0"):
        parse("--learning-rate", "-1")


def test_flags_win_over_the_file_and_the_file_over_the_recipe(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text('recipe = "tanh-10-10"\nepochs = 7\nhidden = 20\nlearning_rate = 1\n')
    config = TrainConfig(**given_options({"epochs": 3}, file))
    assert config.recipe == "tanh-10-10"
    assert (config.epochs, config.hidden, config.learning_rate) == (3, (20,), 1.0)
    assert config.activation == "tanh"


def test_a_saved_config_gives_the_same_run(tmp_path):
    config = TrainConfig(recipe="relu-1024-128", seed=4, output="somewhere", patience=2)
    file = tmp_path / "config.json"
    file.write_text(json.dumps(config.to_dict()))
    assert TrainConfig(**given_options({}, file)) == dataclasses.replace(config, output=None)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.toml", "epoch = 3", "a.toml: unknown option 'epoch'; did you mean 'epochs'"),
        ("a.toml", "xyz = 3", "a.toml: unknown option 'xyz'; options are data, data_dir"),
        ("a.toml", "epochs = 3.5", "a.toml: epochs must be a whole number, got 3.5"),
        ("a.toml", "epochs = '3'", "a.toml: epochs must be a whole number, got '3'"),
        ("a.toml", "dropout = 2", r"a.toml: dropout must be in \[0, 1\), got 2.0"),
        ("a.toml", "[training]\nepochs = 3", "a.toml: unknown option 'training'"),
        ("a.toml", "epochs 3", "a.toml: is not valid TOML"),
        ("a.json", "{", "a.json: is not valid JSON"),
        ("a.json", "[" * 100_000, "a.json: is not valid JSON"),
        ("a.json", "[1]", "a.json: must hold an object of options, got list"),
        ("a.json", '{"learning_rate": NaN}', "a.json: learning_rate must be above 0"),
        ("a.yaml", "epochs: 3", r"must end in \.toml or \.json"),
    ],
)
def test_a_bad_file_is_named_with_what_is_wrong(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=message) as caught:
        TrainConfig(**given_options({}, tmp_path / name))
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "a.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="is not valid JSON"):
        TrainConfig(**given_options({}, tmp_path / "a.json"))


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        TrainConfig(**given_options({}, tmp_path / "none.toml"))


def test_folders_of_data_mean_the_same_from_everywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = TrainConfig(data="sets/raw").to_dict()
    assert config["data"] == str(tmp_path / "sets/raw")
    assert TrainConfig(**config).to_dict() == config
    assert TrainConfig(data_dir="../mnist").to_dict()["data_dir"] == str(tmp_path.parent / "mnist")
    for name in ("auto", "mnist", "synthetic"):
        assert TrainConfig(data=name).to_dict()["data"] == name
